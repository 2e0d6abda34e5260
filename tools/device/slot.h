// A slot on disk: a folder with an image, and slot.json, which is there only while the image beside it is
// whole.
#ifndef COUNTERSIGN_TOOLS_DEVICE_SLOT_H_
#define COUNTERSIGN_TOOLS_DEVICE_SLOT_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/trust/preconditions.h"

namespace countersign::device {

// What is in a slot.
struct SlotContent {
  std::string target_path;  // empty for a factory image
  int64_t length = 0;
  std::string sha256;  // hex
  std::string version;
  int64_t release_counter = 0;  // 0 for a factory image
  // What the Director's order says: the components of one bundle change together.
  std::string bundle;
  trust::Preconditions preconditions;

  // What the check of the approval found ("APPROVED", ...); empty if there was none (SC-GEN-11).
  std::string approval_result;
  // The user has not said yet whether to go on in spite of it (SC-USE-7). Not bootable.
  bool awaits_confirmation = false;
  // The user did.
  bool approval_override = false;

  // It has been booted, or was meant to: it is not tried again, whoever asks. Otherwise anyone on the link
  // could have an older image run, or one that failed.
  bool tried = false;
  // It ran for good once: what a damaged image is replaced by.
  bool proven = false;
};

// NOT_FOUND while the slot is empty, DATA_LOSS (STATE_DAMAGED).
absl::StatusOr<SlotContent> ReadSlot(const std::string& folder);
absl::Status WriteSlot(const std::string& folder, const SlotContent& content);

// Length and digest of the image at `path` as it is. NOT_FOUND (IMAGE_MISSING).
absl::StatusOr<SlotContent> MeasureImage(const std::string& path);
std::string ImagePath(const std::string& folder);
// Whether the slot has the image that `content` tells of.
bool IsWhole(const std::string& folder, const SlotContent& content);

// An image on its way into a slot. What the slot had is gone. Destroyed without Finish, it leaves an empty
// slot.
class Installation {
 public:
  static absl::StatusOr<std::unique_ptr<Installation>> Begin(const std::string& folder);
  ~Installation();

  // RESOURCE_EXHAUSTED (NO_FLASH) when the disk is full.
  absl::Status Write(absl::string_view data);
  // The slot has the image. The caller has checked length and digest.
  absl::Status Finish(const SlotContent& content);

 private:
  Installation(std::string folder, int descriptor) : folder_(std::move(folder)), descriptor_(descriptor) {}

  const std::string folder_;
  int descriptor_;
};

}  // namespace countersign::device

#endif  // COUNTERSIGN_TOOLS_DEVICE_SLOT_H_
