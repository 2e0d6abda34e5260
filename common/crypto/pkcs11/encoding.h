#ifndef COUNTERSIGN_COMMON_CRYPTO_PKCS11_ENCODING_H_
#define COUNTERSIGN_COMMON_CRYPTO_PKCS11_ENCODING_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/crypto/public_key.h"

namespace countersign::crypto::pkcs11 {

// What tokens write, in the forms of everyone else. Pure. Errors are INVALID_ARGUMENT (KEY_INVALID).

// CKM_ECDSA's signature, r and s of 32 bytes each, as the DER Ecdsa-Sig-Value (RFC 3279).
absl::StatusOr<std::string> EcdsaSignatureToDer(absl::string_view raw);

// And back. Takes DER only, with both numbers positive and of at most 32 bytes.
absl::StatusOr<std::string> EcdsaSignatureFromDer(absl::string_view der);

// A public key on NIST P-256 from CKA_EC_POINT: the point (SEC 1), or, as the standard has it, a DER OCTET
// STRING that holds it. Tokens give both.
absl::StatusOr<PublicKey> P256FromPoint(absl::string_view point);

// An Ed25519 public key from CKA_EC_POINT: 32 bytes, bare or in an OCTET STRING.
absl::StatusOr<PublicKey> Ed25519FromPoint(absl::string_view point);

// An RSA public key from CKA_MODULUS and CKA_PUBLIC_EXPONENT, big-endian.
absl::StatusOr<PublicKey> RsaFromNumbers(absl::string_view modulus, absl::string_view exponent);

// The public key of an X.509 certificate in DER (CKA_VALUE). Nothing in the certificate is verified.
absl::StatusOr<PublicKey> KeyOfCertificate(absl::string_view der);

// CKA_EC_PARAMS of the two curves in use.
absl::string_view P256Parameters();
absl::string_view Ed25519Parameters();

}  // namespace countersign::crypto::pkcs11

#endif  // COUNTERSIGN_COMMON_CRYPTO_PKCS11_ENCODING_H_
