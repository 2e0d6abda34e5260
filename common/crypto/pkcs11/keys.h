#ifndef COUNTERSIGN_COMMON_CRYPTO_PKCS11_KEYS_H_
#define COUNTERSIGN_COMMON_CRYPTO_PKCS11_KEYS_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/crypto/public_key.h"

namespace countersign::crypto::pkcs11 {

// Makes a key pair on the token that `uri` names, with the label and id of `uri` (a random id if it has
// none). The private key stays there: sensitive, not extractable, for signatures only. ALREADY_EXISTS
// (KEY_EXISTS) if the token has a key of that label or id; otherwise errors as of Pkcs11Signer::Open.
absl::StatusOr<PublicKey> GenerateKey(absl::string_view uri, KeyType type);

// A private key on a token.
struct TokenKey {
  std::string uri;  // token, object and id: what names this key and no other
  bool extractable = false;
  // Absent when the token has no public half, or the key is of a kind that is not in use.
  std::optional<PublicKey> public_key;
};

// The private keys on the token that `uri` names, which fit its label and id if it has them. Errors as of
// Pkcs11Signer::Open.
absl::StatusOr<std::vector<TokenKey>> ListKeys(absl::string_view uri);

}  // namespace countersign::crypto::pkcs11

#endif  // COUNTERSIGN_COMMON_CRYPTO_PKCS11_KEYS_H_
