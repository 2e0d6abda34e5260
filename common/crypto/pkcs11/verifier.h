#ifndef COUNTERSIGN_COMMON_CRYPTO_PKCS11_VERIFIER_H_
#define COUNTERSIGN_COMMON_CRYPTO_PKCS11_VERIFIER_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/clock/clock.h"
#include "common/crypto/verifier.h"

namespace countersign::crypto::pkcs11 {

class KeySessions;

// A device's smart card, which verifies by itself (SC-GEN-11): the device has neither the key nor the result
// in its own hands. The card knows a key by its key id, the bytes of which are the object's CKA_ID; it is
//
//   a public key (CKO_PUBLIC_KEY): ECDSA P-256, Ed25519 or RSA, as PublicKey verifies;
//   a shared secret (CKO_SECRET_KEY): the signature is HMAC-SHA-256 over the SHA-256 of the message, so that
//   the card is given 32 bytes, whatever the message's length.
class Pkcs11Verifier : public Verifier {
 public:
  // `uri` (see uri.h) names the card; with a pin-source its user is logged in, as secrets want it.
  // INVALID_ARGUMENT (PKCS11_URI_INVALID) if it is wrong. The card need not be there yet. `clock` outlives
  // the verifier.
  static absl::StatusOr<std::unique_ptr<Pkcs11Verifier>> Open(absl::string_view uri,
                                                              const Clock& clock = SystemClock());
  ~Pkcs11Verifier() override;

  absl::Status Verify(absl::string_view key_id, absl::string_view message,
                      absl::string_view signature) const override;

 private:
  explicit Pkcs11Verifier(std::unique_ptr<KeySessions> sessions);

  const std::unique_ptr<KeySessions> sessions_;
};

}  // namespace countersign::crypto::pkcs11

#endif  // COUNTERSIGN_COMMON_CRYPTO_PKCS11_VERIFIER_H_
