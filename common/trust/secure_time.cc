#include "common/trust/secure_time.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/file/file.h"
#include "common/status/errors.h"
#include "common/status/macros.h"

namespace countersign::trust {

absl::StatusOr<SecureTime> SecureTime::Open(const std::string& path, const Clock& clock) {
  SecureTime time(path, clock);
  const absl::StatusOr<std::string> text = ReadFile(path);
  if (absl::IsNotFound(text.status())) return time;
  RETURN_IF_ERROR(text.status());
  int64_t seconds = 0;
  if (!absl::SimpleAtoi(*text, &seconds)) {
    return Error(absl::StatusCode::kDataLoss, "STATE_DAMAGED", absl::StrCat(path, " is not a number"));
  }
  time.floor_ = absl::FromUnixSeconds(seconds);
  return time;
}

absl::Time SecureTime::Now() const { return std::max(clock_->Now(), floor_); }

absl::Status SecureTime::Raise(absl::Time now) {
  const int64_t seconds = absl::ToUnixSeconds(now);
  if (absl::FromUnixSeconds(seconds) <= floor_) return absl::OkStatus();
  RETURN_IF_ERROR(WriteFileAtomically(path_, absl::StrCat(seconds)));
  floor_ = absl::FromUnixSeconds(seconds);
  return absl::OkStatus();
}

}  // namespace countersign::trust
