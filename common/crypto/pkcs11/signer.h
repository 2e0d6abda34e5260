#ifndef COUNTERSIGN_COMMON_CRYPTO_PKCS11_SIGNER_H_
#define COUNTERSIGN_COMMON_CRYPTO_PKCS11_SIGNER_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/clock/clock.h"
#include "common/crypto/signer.h"

namespace countersign::crypto::pkcs11 {

class KeySessions;

// A private key that stays in an HSM, a card or a TPM (FOTA-R4), reached through its PKCS#11 module.
//
// A token that is gone (pulled out, restarted, its sessions lost) makes Sign() and Check() return
// UNAVAILABLE, and is opened again by itself when it is back. Every signature is verified with the public key
// before it is given out: a token that was replaced by one with another key of the same name, or that
// calculates wrongly, is noticed here and not by the fleet.
class Pkcs11Signer : public Signer {
 public:
  // `uri` (see uri.h) names exactly one private key, by object or id or both. INVALID_ARGUMENT for a URI that
  // is wrong, NOT_FOUND if the key is not on the token, UNAVAILABLE if the token is not there,
  // FAILED_PRECONDITION for a PIN or a key that cannot be used; errors.h has the reasons. `clock` outlives
  // the signer.
  static absl::StatusOr<std::unique_ptr<Pkcs11Signer>> Open(absl::string_view uri,
                                                            const Clock& clock = SystemClock());
  ~Pkcs11Signer() override;

  // UNAVAILABLE also for a PIN or a key that turns out to be wrong only now.
  absl::StatusOr<std::string> Sign(absl::string_view message) const override;
  const PublicKey& public_key() const override { return public_key_; }
  // Asks the token for the key. When the last signature failed: makes one, of a text that is no document.
  absl::Status Check() const override;

 private:
  // What the key asks for, read once: each look at it is a way to the token and back.
  struct Habits {
    bool takes_digest = false;          // signs a SHA-256 that is made here
    bool authenticates_always = false;  // wants the PIN for each signature
  };

  Pkcs11Signer(std::unique_ptr<KeySessions> sessions, PublicKey public_key, Habits habits);

  const std::unique_ptr<KeySessions> sessions_;
  const PublicKey public_key_;
  const Habits habits_;
};

}  // namespace countersign::crypto::pkcs11

#endif  // COUNTERSIGN_COMMON_CRYPTO_PKCS11_SIGNER_H_
