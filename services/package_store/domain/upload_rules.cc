#include "services/package_store/domain/upload_rules.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/status/errors.h"

namespace countersign::package_store {
namespace {

constexpr int64_t kMaxImageBytes = int64_t{1} << 40;
constexpr int64_t kMaxChunkBytes = 1 << 20;

}  // namespace

absl::Status CheckImageLength(int64_t length_bytes) {
  if (length_bytes >= 1 && length_bytes <= kMaxImageBytes) return absl::OkStatus();
  return Error(absl::StatusCode::kInvalidArgument, "LENGTH_INVALID",
               absl::StrCat("An image has 1 to 2^40 bytes, not ", length_bytes, "."));
}

absl::Status CheckQuota(int64_t used_bytes, int64_t length_bytes, int64_t quota_bytes) {
  if (length_bytes <= quota_bytes && used_bytes <= quota_bytes - length_bytes) return absl::OkStatus();
  return Error(
      absl::StatusCode::kResourceExhausted, "QUOTA_EXCEEDED",
      absl::StrCat("The manufacturer's images and uploads take ", used_bytes, " of ", quota_bytes, " bytes; ",
                   length_bytes, " more do not fit. Ask the operator for a higher quota."),
      {{"used_bytes", absl::StrCat(used_bytes)}, {"quota_bytes", absl::StrCat(quota_bytes)}});
}

absl::Status CheckChunk(int64_t committed_bytes, int64_t length_bytes, int64_t offset, int64_t size) {
  if (size < 1 || size > kMaxChunkBytes) {
    return Error(absl::StatusCode::kInvalidArgument, "CHUNK_INVALID",
                 absl::StrCat("A message carries 1 to ", kMaxChunkBytes, " bytes, not ", size, "."));
  }
  if (offset != committed_bytes) {
    return Error(
        absl::StatusCode::kOutOfRange, "OFFSET_MISMATCH",
        absl::StrCat("The upload stands at ", committed_bytes, ", not at ", offset, "; go on from there."),
        {{"committed_bytes", absl::StrCat(committed_bytes)}});
  }
  if (size > length_bytes - committed_bytes) {
    return Error(absl::StatusCode::kInvalidArgument, "LENGTH_EXCEEDED",
                 absl::StrCat("The image was announced with ", length_bytes, " bytes; these are more."));
  }
  return absl::OkStatus();
}

absl::Status CheckRange(int64_t length_bytes, int64_t offset, int64_t wanted_bytes, int64_t* count) {
  if (offset < 0 || wanted_bytes < 0) {
    return Error(absl::StatusCode::kInvalidArgument, "RANGE_INVALID",
                 "offset and length_bytes must not be negative.");
  }
  if (offset >= length_bytes) {
    return Error(absl::StatusCode::kOutOfRange, "RANGE_INVALID",
                 absl::StrCat("The image has ", length_bytes, " bytes; none at ", offset, "."),
                 {{"length_bytes", absl::StrCat(length_bytes)}});
  }
  *count = length_bytes - offset;
  if (wanted_bytes > 0) *count = std::min(*count, wanted_bytes);
  return absl::OkStatus();
}

}  // namespace countersign::package_store
