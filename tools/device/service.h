// The device's end of the local link.
#ifndef COUNTERSIGN_TOOLS_DEVICE_SERVICE_H_
#define COUNTERSIGN_TOOLS_DEVICE_SERVICE_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/clock/clock.h"
#include "countersign/device/v1/device.grpc.pb.h"
#include "tools/device/device.h"

namespace countersign::device {

// Whoever reaches the link may call, and no call does harm (FOTA-R5): only what was verified gets into a
// slot, only what was verified and never tried can be activated, and a caller that says nothing keeps nobody
// else out. One transfer at a time.
class DeviceService final : public v1::DeviceService::Service {
 public:
  // `reboot` is called once after an activation was answered for; it must not block.
  DeviceService(Device& device, const Clock& clock, std::function<void()> reboot)
      : device_(device), clock_(clock), reboot_(std::move(reboot)) {}

  grpc::Status GetDescription(grpc::ServerContext* context, const v1::GetDescriptionRequest* request,
                              v1::GetDescriptionResponse* response) override;
  grpc::Status GetVersionReports(grpc::ServerContext* context, const v1::GetVersionReportsRequest* request,
                                 v1::GetVersionReportsResponse* response) override;
  grpc::Status InstallImage(grpc::ServerContext* context, grpc::ServerReader<v1::InstallImageRequest>* reader,
                            v1::InstallImageResponse* response) override;
  grpc::Status ConfirmImage(grpc::ServerContext* context, const v1::ConfirmImageRequest* request,
                            v1::ConfirmImageResponse* response) override;
  grpc::Status ActivateImage(grpc::ServerContext* context, const v1::ActivateImageRequest* request,
                             v1::ActivateImageResponse* response) override;
  grpc::Status CommitImage(grpc::ServerContext* context, const v1::CommitImageRequest* request,
                           v1::CommitImageResponse* response) override;
  grpc::Status RevertImage(grpc::ServerContext* context, const v1::RevertImageRequest* request,
                           v1::RevertImageResponse* response) override;
  grpc::Status GetReadings(grpc::ServerContext* context, const v1::GetReadingsRequest* request,
                           v1::GetReadingsResponse* response) override;
  grpc::Status ApplyOrders(grpc::ServerContext* context, const v1::ApplyOrdersRequest* request,
                           v1::ApplyOrdersResponse* response) override;

 private:
  // Waits a moment for the transfer that is under way to end; one that stands still is ended. UNAVAILABLE
  // (BUSY) if it goes on, UNAVAILABLE (REBOOTING).
  absl::Status WaitForTransfer() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Makes `context` the transfer that is under way. As WaitForTransfer.
  absl::Status BeginTransfer(grpc::ServerContext* context);
  // OK when the image is in the inactive slot. Holds no lock while it waits for bytes, or for the card.
  absl::Status Install(const v1::InstallHeader& header, grpc::ServerReader<v1::InstallImageRequest>& reader,
                       v1::InstallImageResponse& response);
  // Runs `body` with the component while no transfer moves and no boot is due.
  absl::Status WithComponent(const std::string& ecu_serial,
                             const std::function<absl::Status(Component&)>& body);
  trust::Readings Readings();
  void Reboot() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // A flood of questions asks one at a time.
  absl::Mutex readings_mutex_;
  absl::Mutex mutex_;
  Device& device_;
  const Clock& clock_;
  const std::function<void()> reboot_;
  // The transfer that is under way, and when it last got bytes.
  grpc::ServerContext* transfer_ ABSL_GUARDED_BY(mutex_) = nullptr;
  absl::Time last_bytes_ ABSL_GUARDED_BY(mutex_);
  bool rebooting_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace countersign::device

#endif  // COUNTERSIGN_TOOLS_DEVICE_SERVICE_H_
