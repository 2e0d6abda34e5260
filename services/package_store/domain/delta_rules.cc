#include "services/package_store/domain/delta_rules.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "services/package_store/domain/names.h"

namespace countersign::package_store {
namespace {

// About what a core does.
constexpr int64_t kBytesPerSecond = 4 << 20;
constexpr int64_t kMaxDelaySeconds = 60;

}  // namespace

absl::Status CheckDeltaPair(absl::string_view base_sha256, absl::string_view sha256) {
  RETURN_IF_ERROR(CheckSha256(base_sha256));
  RETURN_IF_ERROR(CheckSha256(sha256));
  if (base_sha256 != sha256) return absl::OkStatus();
  return Error(absl::StatusCode::kInvalidArgument, "SAME_IMAGE",
               "base_sha256 and sha256 name the same image: there is nothing to be had.");
}

int64_t MaxDeltaBytes(int64_t length_bytes) { return length_bytes / 3 * 2 + length_bytes % 3 * 2 / 3; }

absl::Status CheckDeltaQueue(int64_t own, int64_t max_own, int64_t waiting, int64_t max_waiting) {
  if (own < max_own && waiting < max_waiting) return absl::OkStatus();
  return Error(absl::StatusCode::kResourceExhausted, "TOO_MANY_DELTAS",
               own < max_own
                   ? absl::StrCat(waiting, " deltas wait to be made; ask again later, or download the image.")
                   : absl::StrCat("You wait for ", own,
                                  " deltas already; ask again when some are made, or download the image."));
}

absl::Duration DeltaDelay(int64_t bytes) {
  return absl::Seconds(std::min(1 + bytes / kBytesPerSecond, kMaxDelaySeconds));
}

}  // namespace countersign::package_store
