#ifndef COUNTERSIGN_COMMON_CRYPTO_DERIVED_KEY_H_
#define COUNTERSIGN_COMMON_CRYPTO_DERIVED_KEY_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/crypto/signer.h"

namespace countersign::crypto {

// The key that follows from `secret`, always the same: for simulated devices, of which there are many
// thousands, and which have to be themselves again in another process. Whoever knows the secret has the key.
// Ed25519 or ECDSA P-256; INVALID_ARGUMENT for others.
absl::StatusOr<PemSigner> DeriveSigner(KeyType type, absl::string_view secret);

}  // namespace countersign::crypto

#endif  // COUNTERSIGN_COMMON_CRYPTO_DERIVED_KEY_H_
