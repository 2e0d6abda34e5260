// The device's end of the local link.
#ifndef COUNTERSIGN_TOOLS_DEVICE_SERVICE_H_
#define COUNTERSIGN_TOOLS_DEVICE_SERVICE_H_

#include <functional>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/clock/clock.h"
#include "countersign/device/v1/device.grpc.pb.h"
#include "tools/device/device.h"

namespace countersign::device {

// One caller at a time is served: a device has one gateway, and a second installation waits for the first.
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
  grpc::Status ActivateImage(grpc::ServerContext* context, const v1::ActivateImageRequest* request,
                             v1::ActivateImageResponse* response) override;

 private:
  // OK when the image is in the inactive slot.
  absl::Status Install(grpc::ServerReader<v1::InstallImageRequest>& reader)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  absl::Mutex mutex_;
  Device& device_ ABSL_GUARDED_BY(mutex_);
  const Clock& clock_;
  const std::function<void()> reboot_;
};

}  // namespace countersign::device

#endif  // COUNTERSIGN_TOOLS_DEVICE_SERVICE_H_
