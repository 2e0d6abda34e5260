#include "services/inventory/domain/challenge.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/crypto/digest.h"
#include "common/crypto/hex.h"
#include "common/crypto/random.h"
#include "common/status/errors.h"
#include "services/inventory/domain/manifest.h"

namespace countersign::inventory::domain {
namespace {

constexpr size_t kTimeDigits = 14;  // 56 bits of microseconds: until the year 4253
constexpr size_t kRandomBytes = 1;
constexpr size_t kMacBytes = 8;  // who guesses one in 2^64 has got a nonce, which opens nothing by itself
constexpr size_t kBeginDigits = kTimeDigits + 2 * kRandomBytes;
constexpr size_t kDigits = kBeginDigits + 2 * kMacBytes;
// A replica whose clock is ahead made it: the one that looks at it must not take it for one of the future.
constexpr absl::Duration kClockSkew = absl::Minutes(1);

absl::Status Refuse(absl::string_view message) {
  return Error(absl::StatusCode::kFailedPrecondition, kNonceMismatch, message);
}

}  // namespace

std::string Challenges::Seal(absl::string_view gateway_id, absl::string_view begin) const {
  const std::string mac = crypto::HmacSha256(key_, absl::StrCat("challenge\n", begin, "\n", gateway_id));
  return absl::StrCat(begin, crypto::HexEncode(absl::string_view(mac).substr(0, kMacBytes)));
}

std::string Challenges::Make(absl::string_view gateway_id, absl::Time now) const {
  // No two are of the same microsecond, also when the clock stands still or is set back.
  int64_t last = last_micros_.load();
  int64_t micros = 0;
  do {
    micros = std::max(absl::ToUnixMicros(now), last + 1);
  } while (!last_micros_.compare_exchange_weak(last, micros));
  return Seal(gateway_id, absl::StrFormat("%014x%s", micros, crypto::RandomHex(kRandomBytes)));
}

absl::Status Challenges::Check(absl::string_view gateway_id, absl::string_view nonce, absl::Time now) const {
  int64_t micros = 0;
  if (!crypto::IsLowerHex(nonce, kDigits) ||
      !crypto::ConstantTimeEqual(nonce, Seal(gateway_id, nonce.substr(0, kBeginDigits))) ||
      !absl::SimpleHexAtoi(nonce.substr(0, kTimeDigits), &micros)) {
    return Refuse(
        "The manifest answers no challenge that was given to this gateway: call CreateChallenge, and collect "
        "reports that answer it.");
  }
  const absl::Time made = absl::FromUnixMicros(micros);
  if (now >= made + validity_ || now < made - kClockSkew) {
    return Refuse("The challenge has expired: call CreateChallenge, and collect reports that answer it.");
  }
  return absl::OkStatus();
}

}  // namespace countersign::inventory::domain
