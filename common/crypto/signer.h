#ifndef COUNTERSIGN_COMMON_CRYPTO_SIGNER_H_
#define COUNTERSIGN_COMMON_CRYPTO_SIGNER_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/crypto/public_key.h"

namespace countersign::crypto {

// The only way to a private key. Whoever holds a Signer can sign in its name; the key itself may be in
// hardware and never leaves it. Implementations are thread-safe.
class Signer {
 public:
  virtual ~Signer() = default;

  // A signature over `message` that public_key().Verify(message, ...) accepts. The scheme is the key's (see
  // KeyType). UNAVAILABLE if the hardware that keeps the key does not answer.
  virtual absl::StatusOr<std::string> Sign(absl::string_view message) const = 0;

  virtual const PublicKey& public_key() const = 0;

  // Whether the key can be used now, without a signature: for readiness, so cheap, and may be called all the
  // time. UNAVAILABLE with what is wrong while the hardware that keeps the key is gone; it may be back at the
  // next call.
  virtual absl::Status Check() const { return absl::OkStatus(); }
};

// A key in this process's memory, from an unencrypted PEM file: for development, for tests, and for devices
// that have no better place. Cheap to copy.
class PemSigner : public Signer {
 public:
  // A new key; RSA keys have 3072 bits and take a second or so.
  static absl::StatusOr<PemSigner> Generate(KeyType type);

  // From a PEM private key (PKCS#8, or the traditional forms). INVALID_ARGUMENT (KEY_INVALID) as in
  // PublicKey::FromPem.
  static absl::StatusOr<PemSigner> Parse(absl::string_view pem);

  // Parse() of the file at `path`. NOT_FOUND if there is none.
  static absl::StatusOr<PemSigner> Load(const std::string& path);

  absl::StatusOr<std::string> Sign(absl::string_view message) const override;
  const PublicKey& public_key() const override { return public_key_; }

  // PKCS#8 PEM, unencrypted: write it with mode 0600 (file.h: WriteFileAtomically).
  std::string ToPem() const;

 private:
  PemSigner(std::shared_ptr<EVP_PKEY> key, PublicKey public_key)
      : key_(std::move(key)), public_key_(std::move(public_key)) {}

  static absl::StatusOr<PemSigner> FromKey(std::shared_ptr<EVP_PKEY> key);

  std::shared_ptr<EVP_PKEY> key_;
  PublicKey public_key_;
};

}  // namespace countersign::crypto

#endif  // COUNTERSIGN_COMMON_CRYPTO_SIGNER_H_
