// What a gateway has for a device, for tests: two signed repositories in memory, and the calls of the link.
#ifndef COUNTERSIGN_TOOLS_DEVICE_TEST_OFFER_H_
#define COUNTERSIGN_TOOLS_DEVICE_TEST_OFFER_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/trust/dsse.h"
#include "common/trust/test_repository.h"
#include "countersign/device/v1/device.grpc.pb.h"

namespace countersign::device {

inline constexpr char kEcu[] = "ecu-1";
inline constexpr char kHardware[] = "lamp-a";

// One image that both repositories have for kEcu. Attacks change the repositories, their files, `path` or
// `image`.
class TestOffer {
 public:
  explicit TestOffer(absl::Time now);

  // Approves and orders `image` anew, and publishes both repositories in their next versions.
  void Release(absl::string_view image, int64_t release_counter, absl::string_view version);
  // Publishes both repositories in their next versions, as they stand.
  void Publish();

  trust::TargetFile& approved() { return images.delegated["acme"].targets[path]; }
  trust::TargetFile& ordered() { return director.targets.targets[path]; }

  // What the gateway says of `image`, with all files of both repositories, and `approval`.
  v1::InstallHeader Header() const;
  // What the authority says of `image`, unsigned.
  trust::ApprovalStatement Statement(absl::Time now) const;

  trust::TestRepository images;
  trust::TestRepository director;
  std::string path = "acme/lamp/fw-2.bin";
  std::string image;
  std::string approval;  // the signed statement; none at first
};

// Transfers `header` and `image` in chunks; the error is the call's.
absl::StatusOr<v1::InstallImageResponse> Transfer(v1::DeviceService::StubInterface& device,
                                                  const v1::InstallHeader& header, absl::string_view image);

}  // namespace countersign::device

#endif  // COUNTERSIGN_TOOLS_DEVICE_TEST_OFFER_H_
