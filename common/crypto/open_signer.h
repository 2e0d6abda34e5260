#ifndef COUNTERSIGN_COMMON_CRYPTO_OPEN_SIGNER_H_
#define COUNTERSIGN_COMMON_CRYPTO_OPEN_SIGNER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/crypto/signer.h"

namespace countersign::crypto {

// The signer that `spec` names: the path of a PEM file with an unencrypted private key (errors as of
// PemSigner::Load), or the RFC 7512 URI (pkcs11:...) of a key on a token (as of pkcs11::Pkcs11Signer::Open).
absl::StatusOr<std::unique_ptr<Signer>> OpenSigner(const std::string& spec);

}  // namespace countersign::crypto

#endif  // COUNTERSIGN_COMMON_CRYPTO_OPEN_SIGNER_H_
