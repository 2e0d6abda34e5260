#ifndef COUNTERSIGN_COMMON_CRYPTO_OPEN_SIGNER_H_
#define COUNTERSIGN_COMMON_CRYPTO_OPEN_SIGNER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/crypto/signer.h"

namespace countersign::crypto {

// The signer that `spec` names: the path of a PEM file with an unencrypted private key, or the RFC 7512 URI
// (pkcs11:...) of a key on a token. NOT_FOUND if the file or the key is not there; INVALID_ARGUMENT if it is
// no key (KEY_INVALID) or the URI is wrong.
absl::StatusOr<std::unique_ptr<Signer>> OpenSigner(const std::string& spec);

}  // namespace countersign::crypto

#endif  // COUNTERSIGN_COMMON_CRYPTO_OPEN_SIGNER_H_
