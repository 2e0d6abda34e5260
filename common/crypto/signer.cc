#include "common/crypto/signer.h"

#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/crypto/openssl.h"
#include "common/file/file.h"
#include "common/status/errors.h"
#include "common/status/macros.h"

namespace countersign::crypto {
namespace {

constexpr int kRsaSaltSize = 32;
constexpr size_t kRsaBits = 3072;
constexpr int64_t kMaxPemSize = 16 << 10;

absl::Status OpenSslError(absl::string_view action) {
  return absl::InternalError(absl::StrCat("OpenSSL cannot ", action, ": ", TakeOpenSslErrors()));
}

}  // namespace

absl::StatusOr<PemSigner> PemSigner::FromKey(std::shared_ptr<EVP_PKEY> key) {
  ASSIGN_OR_RETURN(PublicKey public_key, PublicKey::FromKey(key, ""));
  return PemSigner(std::move(key), std::move(public_key));
}

absl::StatusOr<PemSigner> PemSigner::Generate(KeyType type) {
  EVP_PKEY* key = nullptr;
  switch (type) {
    case KeyType::kEd25519:
      key = EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519");
      break;
    case KeyType::kEcdsaP256:
      key = EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256");
      break;
    case KeyType::kRsaPss:
      key = EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", kRsaBits);
      break;
  }
  if (key == nullptr) return OpenSslError("make a key");
  return FromKey(std::shared_ptr<EVP_PKEY>(key, OpenSslFree()));
}

absl::StatusOr<PemSigner> PemSigner::Parse(absl::string_view pem) {
  const OpenSslPtr<BIO> bio = ReadBio(pem);
  // Without a callback OpenSSL would ask for a passphrase on the terminal.
  const auto no_passphrase = [](char*, int, int, void*) { return -1; };
  std::shared_ptr<EVP_PKEY> key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr),
                                OpenSslFree());
  if (key == nullptr) {
    return Error(absl::StatusCode::kInvalidArgument, kKeyInvalid,
                 absl::StrCat("not an unencrypted PEM private key: ", TakeOpenSslErrors()));
  }
  return FromKey(std::move(key));
}

absl::StatusOr<PemSigner> PemSigner::Load(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string pem, ReadFile(path, kMaxPemSize));
  absl::StatusOr<PemSigner> signer = Parse(pem);
  if (!signer.ok()) return Annotate(signer.status(), path);
  return signer;
}

absl::StatusOr<std::string> PemSigner::Sign(absl::string_view message) const {
  const OpenSslPtr<EVP_MD_CTX> context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* parameters = nullptr;  // owned by `context`
  const char* const digest = public_key_.type() == KeyType::kEd25519 ? nullptr : "SHA256";
  if (EVP_DigestSignInit_ex(context.get(), &parameters, digest, nullptr, nullptr, key_.get(), nullptr) != 1) {
    return OpenSslError("begin a signature");
  }
  if (public_key_.type() == KeyType::kRsaPss &&
      (EVP_PKEY_CTX_set_rsa_padding(parameters, RSA_PKCS1_PSS_PADDING) != 1 ||
       EVP_PKEY_CTX_set_rsa_pss_saltlen(parameters, kRsaSaltSize) != 1)) {
    return OpenSslError("set up RSASSA-PSS");
  }
  const auto* const data = reinterpret_cast<const unsigned char*>(message.data());
  size_t size = 0;
  if (EVP_DigestSign(context.get(), nullptr, &size, data, message.size()) != 1) return OpenSslError("sign");
  std::string signature(size, '\0');
  if (EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size, data,
                     message.size()) != 1) {
    return OpenSslError("sign");
  }
  signature.resize(size);
  return signature;
}

std::string PemSigner::ToPem() const {
  const OpenSslPtr<BIO> bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_PrivateKey(bio.get(), key_.get(), nullptr, nullptr, 0, nullptr, nullptr);
  return BioContents(bio.get());
}

}  // namespace countersign::crypto
