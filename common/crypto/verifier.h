#ifndef COUNTERSIGN_COMMON_CRYPTO_VERIFIER_H_
#define COUNTERSIGN_COMMON_CRYPTO_VERIFIER_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace countersign::crypto {

// The reasons of the errors below, beside kSignatureInvalid.
inline constexpr char kVerifierUnknownKey[] = "VERIFIER_UNKNOWN_KEY";
inline constexpr char kVerifierAbsent[] = "VERIFIER_ABSENT";

// Whoever knows keys, in memory or on a smart card, and says whether a signature is theirs. Thread-safe.
class Verifier {
 public:
  virtual ~Verifier() = default;

  // OK if `signature` over `message` is of the key that is known as `key_id` (lower-case hex). Otherwise
  // INVALID_ARGUMENT (SIGNATURE_INVALID), NOT_FOUND (VERIFIER_UNKNOWN_KEY), UNAVAILABLE (VERIFIER_ABSENT) if
  // there is no card, and any other code if the card cannot do it.
  virtual absl::Status Verify(absl::string_view key_id, absl::string_view message,
                              absl::string_view signature) const = 0;
};

}  // namespace countersign::crypto

#endif  // COUNTERSIGN_COMMON_CRYPTO_VERIFIER_H_
