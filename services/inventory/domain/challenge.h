#ifndef COUNTERSIGN_SERVICES_INVENTORY_DOMAIN_CHALLENGE_H_
#define COUNTERSIGN_SERVICES_INVENTORY_DOMAIN_CHALLENGE_H_

#include <atomic>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace countersign::inventory::domain {

// Challenges that are in no table until they are answered: a nonce says when it was made, and carries a MAC
// with a key that all replicas have. So a challenge costs no write, whichever replica takes the answer. That
// a challenge is answered once is not seen here but by what is stored with the last manifest: nonces that are
// made later compare higher, and each manifest's must be higher than the last one's (JudgeManifest).
// Thread-safe.
class Challenges {
 public:
  // `key` is the secret of all replicas of an inventory.
  Challenges(std::string key, absl::Duration validity) : key_(std::move(key)), validity_(validity) {}

  // A nonce for the gateway's next manifest, 32 lower-case hex digits: microseconds, a random byte, MAC.
  // Higher than all that this object made before.
  std::string Make(absl::string_view gateway_id, absl::Time now) const;
  absl::Time ExpireTime(absl::Time now) const { return now + validity_; }

  // OK if `nonce` was made for the gateway and is answered in time: FAILED_PRECONDITION (NONCE_MISMATCH).
  absl::Status Check(absl::string_view gateway_id, absl::string_view nonce, absl::Time now) const;

 private:
  // `begin`, which is all but the MAC, with the MAC.
  std::string Seal(absl::string_view gateway_id, absl::string_view begin) const;

  const std::string key_;
  const absl::Duration validity_;
  mutable std::atomic<int64_t> last_micros_ = 0;
};

}  // namespace countersign::inventory::domain

#endif  // COUNTERSIGN_SERVICES_INVENTORY_DOMAIN_CHALLENGE_H_
