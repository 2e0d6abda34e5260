#ifndef COUNTERSIGN_COMMON_CRYPTO_PUBLIC_KEY_H_
#define COUNTERSIGN_COMMON_CRYPTO_PUBLIC_KEY_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

extern "C" {
typedef struct evp_pkey_st EVP_PKEY;
}

namespace countersign::crypto {

// The kinds of key in use, each with exactly one signature scheme.
enum class KeyType {
  kEd25519,    // RFC 8032 pure Ed25519; 64-byte signatures
  kEcdsaP256,  // ECDSA on NIST P-256 over SHA-256; DER signatures
  kRsaPss,     // RSASSA-PSS over SHA-256 with MGF1-SHA-256 and a 32-byte salt; 3072 bits and up
};

// The reason of the error that Verify() returns for a signature that does not match.
inline constexpr char kSignatureInvalid[] = "SIGNATURE_INVALID";
// The reason of the errors that the factories return.
inline constexpr char kKeyInvalid[] = "KEY_INVALID";

// A public key that is well-formed, of a kind above and strong enough: no other can exist. Cheap to copy
// (shares the parsed key); immutable and thread-safe.
class PublicKey {
 public:
  // From a PEM "PUBLIC KEY" (SubjectPublicKeyInfo). INVALID_ARGUMENT (KEY_INVALID) if it is not one, is of
  // another kind or curve, or too weak.
  static absl::StatusOr<PublicKey> FromPem(absl::string_view pem);

  // From a SubjectPublicKeyInfo in DER, with nothing after it. Errors as in FromPem.
  static absl::StatusOr<PublicKey> FromDer(absl::string_view der);

  // From the three strings of a TUF key object (TUF 4.2.1): "ed25519"/"ed25519" with 64 hex digits,
  // "ecdsa"/"ecdsa-sha2-nistp256" or "rsa"/"rsassa-pss-sha256" with a PEM. `public_value` is kept exactly as
  // given, since the key id depends on its bytes. Errors as in FromPem.
  static absl::StatusOr<PublicKey> FromTuf(absl::string_view keytype, absl::string_view scheme,
                                           absl::string_view public_value);

  // OK if `signature` is this key's over `message`; else INVALID_ARGUMENT (SIGNATURE_INVALID), whatever is
  // wrong with it.
  absl::Status Verify(absl::string_view message, absl::string_view signature) const;

  KeyType type() const { return parsed_->type; }
  // SubjectPublicKeyInfo in PEM, with a newline at its end.
  const std::string& Pem() const { return parsed_->pem; }
  // SubjectPublicKeyInfo in DER: equal for equal keys, however their PEM is written.
  const std::string& Der() const { return parsed_->der; }

  // The three strings of the TUF key object.
  absl::string_view TufKeyType() const;
  absl::string_view TufScheme() const;
  const std::string& TufPublic() const { return parsed_->tuf_public; }

  // Whether both are the same key.
  friend bool operator==(const PublicKey& a, const PublicKey& b) { return a.Der() == b.Der(); }

 private:
  friend class PemSigner;

  struct Parsed {
    std::shared_ptr<EVP_PKEY> key;
    KeyType type;
    std::string pem;
    std::string der;
    std::string tuf_public;
  };

  explicit PublicKey(std::shared_ptr<const Parsed> parsed) : parsed_(std::move(parsed)) {}

  // Checks kind and strength. `key` need not have a private part.
  static absl::StatusOr<PublicKey> FromKey(std::shared_ptr<EVP_PKEY> key, absl::string_view tuf_public);

  std::shared_ptr<const Parsed> parsed_;
};

}  // namespace countersign::crypto

#endif  // COUNTERSIGN_COMMON_CRYPTO_PUBLIC_KEY_H_
