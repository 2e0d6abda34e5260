#ifndef COUNTERSIGN_COMMON_CRYPTO_PKCS11_TESTING_CARD_H_
#define COUNTERSIGN_COMMON_CRYPTO_PKCS11_TESTING_CARD_H_

#include <string>

#include "absl/strings/string_view.h"
#include "common/crypto/public_key.h"

namespace countersign::crypto::pkcs11::testing {

// What the issuer of a card does: puts keys on the token that `uri` names, known by `key_id` (hex). Aborts
// when it fails.

// An ECDSA P-256 key that everyone may use.
void StorePublicKey(absl::string_view uri, absl::string_view key_id, const PublicKey& key);
// A secret that only the card's user may use.
void StoreSecret(absl::string_view uri, absl::string_view key_id, absl::string_view secret);

// An X.509 certificate in DER.
void StoreCertificate(absl::string_view uri, absl::string_view id, absl::string_view der);

}  // namespace countersign::crypto::pkcs11::testing

#endif  // COUNTERSIGN_COMMON_CRYPTO_PKCS11_TESTING_CARD_H_
