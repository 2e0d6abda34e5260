// The local link: who is on it, and calls to one device. Nothing on the link is trusted for being on it, and
// whatever a device answers may be nonsense.
#ifndef COUNTERSIGN_TOOLS_GATEWAY_LINK_H_
#define COUNTERSIGN_TOOLS_GATEWAY_LINK_H_

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/trust/preconditions.h"
#include "countersign/device/v1/device.pb.h"

namespace grpc {
class Channel;
}

namespace countersign::gateway {

// What a device may tell in one answer.
inline constexpr int kMaxComponents = 32;
inline constexpr int kMaxReportBytes = 16 << 10;

// A socket `<device-id>.sock` in the folder that stands for the local network.
struct Socket {
  std::string device_id;
  std::string path;
  std::string instance;  // another one whenever the device has made its socket anew: it has started again

  friend bool operator==(const Socket&, const Socket&) = default;
};

// The sockets in `folder`, in order of device id. Whether anyone answers there is another matter. NOT_FOUND
// if there is no such folder.
absl::StatusOr<std::vector<Socket>> ListSockets(const std::string& folder);

// One device, over one connection, which is made at the first call and not again. Calls that end with
// UNAVAILABLE or DEADLINE_EXCEEDED found nobody, or lost them.
class DeviceLink {
 public:
  explicit DeviceLink(const Socket& socket);

  // INVALID_ARGUMENT (DEVICE_NONSENSE) for a device that calls itself otherwise than its socket, or that has
  // more than kMaxComponents components, or one without serial number.
  absl::StatusOr<device::v1::GetDescriptionResponse> GetDescription();
  // At most kMaxComponents reports, each of at most kMaxReportBytes: DEVICE_NONSENSE beyond.
  absl::StatusOr<std::vector<std::string>> GetVersionReports(absl::string_view nonce);
  // Transfers the image at `image_path`. What the device thinks of it is in the answer. A device that refuses
  // may stop reading early.
  absl::StatusOr<device::v1::InstallImageResponse> InstallImage(const device::v1::InstallHeader& header,
                                                                const std::string& image_path);
  // `bundle` is empty for an image that changes alone.
  absl::Status ActivateImage(absl::string_view ecu_serial, absl::string_view sha256,
                             absl::string_view bundle = "");
  absl::Status ConfirmImage(absl::string_view ecu_serial, absl::string_view sha256, bool confirm,
                            absl::string_view principal_id);
  absl::Status CommitImage(absl::string_view ecu_serial, absl::string_view sha256);
  absl::Status RevertImage(absl::string_view ecu_serial, absl::string_view sha256);
  // What the device does not say is not known.
  absl::StatusOr<trust::Readings> GetReadings();
  // The components that are stopped now.
  absl::StatusOr<std::set<std::string>> ApplyOrders(const device::v1::ApplyOrdersRequest& orders);

 private:
  const std::string device_id_;
  const std::shared_ptr<grpc::Channel> channel_;
};

}  // namespace countersign::gateway

#endif  // COUNTERSIGN_TOOLS_GATEWAY_LINK_H_
