#ifndef COUNTERSIGN_TOOLS_GATEWAY_FAKE_DEVICE_H_
#define COUNTERSIGN_TOOLS_GATEWAY_FAKE_DEVICE_H_

#include <grpcpp/server.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/crypto/signer.h"
#include "countersign/device/v1/device.grpc.pb.h"

namespace countersign::gateway {

// A component of a FakeDevice. Change it under FakeDevice::With().
struct FakeComponent {
  std::string hardware_id = "t1-a";
  std::shared_ptr<const crypto::Signer> key;  // null: constrained
  std::string path;
  std::string content = "factory";
  std::string version = "1.0.0";
  int64_t release_counter = 1;
  int64_t report_counter = 0;
  bool boots_badly = false;    // the next image does not come up
  bool loses_answers = false;  // goes down after an activation before it has answered
  bool provisional = false;    // after an activation in a bundle
  bool quarantined = false;
  bool obeys = true;       // orders to stop
  bool asks_user = false;  // the next image is to be confirmed
  bool confirmed = false;
  device::v1::GetReadingsResponse readings;
  std::string bundle;  // of the last activation
  std::string confirmed_by;
  int activations = 0;
  int commits = 0;
  int reverts = 0;
  common::v1::FailureReason refusal = common::v1::FAILURE_REASON_UNSPECIFIED;  // of the next image
  common::v1::UpdatePhase last_update = common::v1::UPDATE_PHASE_UNSPECIFIED;
  std::string last_update_sha256;
  std::string inactive;              // content of the slot that does not run
  device::v1::InstallHeader header;  // of the last transfer
  int transfers = 0;
};

// What somebody else's device might do, on a Unix socket.
class FakeDevice : public device::v1::DeviceService::Service {
 public:
  // Serves at `<lan>/<id>.sock`, until it is destroyed.
  FakeDevice(const std::string& lan, const std::string& id, std::map<std::string, FakeComponent> components);
  ~FakeDevice() override;

  void With(const std::function<void(std::map<std::string, FakeComponent>&)>& body);
  // A copy.
  FakeComponent Get(const std::string& serial);

  std::string called;                    // what it calls itself, if not `id`. Set before the first call
  std::vector<std::string> raw_reports;  // what it reports, if not its components

  grpc::Status GetDescription(grpc::ServerContext*, const device::v1::GetDescriptionRequest*,
                              device::v1::GetDescriptionResponse* response) override;
  grpc::Status GetVersionReports(grpc::ServerContext*, const device::v1::GetVersionReportsRequest* request,
                                 device::v1::GetVersionReportsResponse* response) override;
  grpc::Status InstallImage(grpc::ServerContext*, grpc::ServerReader<device::v1::InstallImageRequest>* reader,
                            device::v1::InstallImageResponse* response) override;
  grpc::Status ActivateImage(grpc::ServerContext*, const device::v1::ActivateImageRequest* request,
                             device::v1::ActivateImageResponse*) override;
  grpc::Status ConfirmImage(grpc::ServerContext*, const device::v1::ConfirmImageRequest* request,
                            device::v1::ConfirmImageResponse*) override;
  grpc::Status CommitImage(grpc::ServerContext*, const device::v1::CommitImageRequest* request,
                           device::v1::CommitImageResponse*) override;
  grpc::Status RevertImage(grpc::ServerContext*, const device::v1::RevertImageRequest* request,
                           device::v1::RevertImageResponse*) override;
  grpc::Status GetReadings(grpc::ServerContext*, const device::v1::GetReadingsRequest*,
                           device::v1::GetReadingsResponse* response) override;
  grpc::Status ApplyOrders(grpc::ServerContext*, const device::v1::ApplyOrdersRequest* request,
                           device::v1::ApplyOrdersResponse* response) override;

 private:
  const std::string id_;
  absl::Mutex mutex_;
  std::map<std::string, FakeComponent> components_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace countersign::gateway

#endif  // COUNTERSIGN_TOOLS_GATEWAY_FAKE_DEVICE_H_
