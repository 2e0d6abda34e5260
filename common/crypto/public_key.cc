#include "common/crypto/public_key.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/crypto/hex.h"
#include "common/crypto/openssl.h"
#include "common/status/errors.h"
#include "common/status/macros.h"

namespace countersign::crypto {
namespace {

constexpr size_t kEd25519KeySize = 32;
constexpr int kMinRsaBits = 3072;
constexpr int kMaxRsaBits = 8192;  // a larger one only makes verification slow
constexpr int kRsaSaltSize = 32;
// No PEM of a key above is longer.
constexpr size_t kMaxPemSize = 4096;

absl::Status InvalidKey(absl::string_view message) {
  return Error(absl::StatusCode::kInvalidArgument, kKeyInvalid, message);
}

absl::Status InvalidSignature() {
  TakeOpenSslErrors();
  return Error(absl::StatusCode::kInvalidArgument, kSignatureInvalid, "the signature does not match");
}

absl::StatusOr<KeyType> TypeOf(EVP_PKEY* key) {
  if (EVP_PKEY_is_a(key, "ED25519")) return KeyType::kEd25519;
  if (EVP_PKEY_is_a(key, "EC")) {
    char group[64];
    size_t size = 0;
    if (EVP_PKEY_get_group_name(key, group, sizeof(group), &size) != 1 ||
        absl::string_view(group, size) != "prime256v1") {
      TakeOpenSslErrors();
      return InvalidKey("the curve of an ECDSA key must be NIST P-256");
    }
    return KeyType::kEcdsaP256;
  }
  if (EVP_PKEY_is_a(key, "RSA")) {
    const int bits = EVP_PKEY_get_bits(key);
    if (bits < kMinRsaBits || bits > kMaxRsaBits) {
      return InvalidKey(
          absl::StrCat("an RSA key must have ", kMinRsaBits, " to ", kMaxRsaBits, " bits; this has ", bits));
    }
    return KeyType::kRsaPss;
  }
  return InvalidKey("the key must be Ed25519, ECDSA P-256 or RSA");
}

absl::StatusOr<std::shared_ptr<EVP_PKEY>> ReadPem(absl::string_view pem) {
  if (pem.size() > kMaxPemSize) return InvalidKey("the PEM is longer than any key in use");
  const OpenSslPtr<BIO> bio = ReadBio(pem);
  std::shared_ptr<EVP_PKEY> key(PEM_read_bio_PUBKEY(bio.get(), nullptr, nullptr, nullptr), OpenSslFree());
  if (key == nullptr) {
    return InvalidKey(absl::StrCat("not a PEM public key (SubjectPublicKeyInfo): ", TakeOpenSslErrors()));
  }
  return key;
}

std::string ToDer(EVP_PKEY* key) {
  unsigned char* data = nullptr;
  const int size = i2d_PUBKEY(key, &data);
  std::string der(reinterpret_cast<char*>(data), size > 0 ? static_cast<size_t>(size) : 0);
  OPENSSL_free(data);
  return der;
}

std::string ToPublicPem(EVP_PKEY* key) {
  const OpenSslPtr<BIO> bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_PUBKEY(bio.get(), key);
  return BioContents(bio.get());
}

// An EC point may be written compressed, uncompressed or hybrid; the digest that tells keys apart must not
// see that.
void NormalisePoint(EVP_PKEY* key) {
  EVP_PKEY_set_utf8_string_param(key, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT,
                                 OSSL_PKEY_EC_POINT_CONVERSION_FORMAT_UNCOMPRESSED);
}

}  // namespace

absl::StatusOr<PublicKey> PublicKey::FromKey(std::shared_ptr<EVP_PKEY> key, absl::string_view tuf_public) {
  ASSIGN_OR_RETURN(const KeyType type, TypeOf(key.get()));
  const OpenSslPtr<EVP_PKEY_CTX> context(EVP_PKEY_CTX_new(key.get(), nullptr));
  if (context == nullptr || EVP_PKEY_public_check_quick(context.get()) != 1) {
    return InvalidKey(absl::StrCat("the key is not sound: ", TakeOpenSslErrors()));
  }
  if (type == KeyType::kEcdsaP256) NormalisePoint(key.get());
  auto parsed = std::make_shared<Parsed>();
  parsed->key = std::move(key);
  parsed->type = type;
  parsed->pem = ToPublicPem(parsed->key.get());
  parsed->der = ToDer(parsed->key.get());
  if (!tuf_public.empty()) {
    parsed->tuf_public = std::string(tuf_public);
  } else if (type == KeyType::kEd25519) {
    // The last 32 bytes of an Ed25519 SubjectPublicKeyInfo are the key (RFC 8410).
    parsed->tuf_public =
        HexEncode(absl::string_view(parsed->der).substr(parsed->der.size() - kEd25519KeySize));
  } else {
    parsed->tuf_public = parsed->pem;
  }
  return PublicKey(std::move(parsed));
}

absl::StatusOr<PublicKey> PublicKey::FromPem(absl::string_view pem) {
  ASSIGN_OR_RETURN(std::shared_ptr<EVP_PKEY> key, ReadPem(pem));
  return FromKey(std::move(key), "");
}

absl::StatusOr<PublicKey> PublicKey::FromDer(absl::string_view der) {
  const auto* data = reinterpret_cast<const unsigned char*>(der.data());
  const unsigned char* const end = data + der.size();
  std::shared_ptr<EVP_PKEY> key;
  if (der.size() <= kMaxPemSize) {
    key.reset(d2i_PUBKEY(nullptr, &data, static_cast<long>(der.size())), OpenSslFree());
  }
  if (key == nullptr || data != end) {
    return InvalidKey(absl::StrCat("not a DER public key (SubjectPublicKeyInfo): ", TakeOpenSslErrors()));
  }
  return FromKey(std::move(key), "");
}

absl::StatusOr<PublicKey> PublicKey::FromTuf(absl::string_view keytype, absl::string_view scheme,
                                             absl::string_view public_value) {
  std::shared_ptr<EVP_PKEY> key;
  if (keytype == "ed25519" && scheme == "ed25519") {
    if (!IsLowerHex(public_value, 2 * kEd25519KeySize)) {
      return InvalidKey("an ed25519 public value is 64 lower-case hex digits");
    }
    ASSIGN_OR_RETURN(const std::string raw, HexDecode(public_value));
    key.reset(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr,
                                          reinterpret_cast<const unsigned char*>(raw.data()), raw.size()),
              OpenSslFree());
    if (key == nullptr) return InvalidKey(absl::StrCat("not an ed25519 key: ", TakeOpenSslErrors()));
  } else if ((keytype == "ecdsa" && scheme == "ecdsa-sha2-nistp256") ||
             (keytype == "rsa" && scheme == "rsassa-pss-sha256")) {
    ASSIGN_OR_RETURN(key, ReadPem(public_value));
  } else {
    return InvalidKey(
        absl::StrCat("key type and scheme must be ed25519/ed25519, ecdsa/ecdsa-sha2-nistp256 or ",
                     "rsa/rsassa-pss-sha256"));
  }
  ASSIGN_OR_RETURN(PublicKey result, FromKey(std::move(key), public_value));
  if (result.TufKeyType() != keytype)
    return InvalidKey(absl::StrCat("the public value is not of key type ", keytype));
  return result;
}

absl::Status PublicKey::Verify(absl::string_view message, absl::string_view signature) const {
  const OpenSslPtr<EVP_MD_CTX> context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* parameters = nullptr;  // owned by `context`
  const char* const digest = parsed_->type == KeyType::kEd25519 ? nullptr : "SHA256";
  if (EVP_DigestVerifyInit_ex(context.get(), &parameters, digest, nullptr, nullptr, parsed_->key.get(),
                              nullptr) != 1) {
    return InvalidSignature();
  }
  if (parsed_->type == KeyType::kRsaPss &&
      (EVP_PKEY_CTX_set_rsa_padding(parameters, RSA_PKCS1_PSS_PADDING) != 1 ||
       EVP_PKEY_CTX_set_rsa_pss_saltlen(parameters, kRsaSaltSize) != 1)) {
    return InvalidSignature();
  }
  if (EVP_DigestVerify(context.get(), reinterpret_cast<const unsigned char*>(signature.data()),
                       signature.size(), reinterpret_cast<const unsigned char*>(message.data()),
                       message.size()) != 1) {
    return InvalidSignature();
  }
  return absl::OkStatus();
}

absl::string_view PublicKey::TufKeyType() const {
  switch (parsed_->type) {
    case KeyType::kEd25519:
      return "ed25519";
    case KeyType::kEcdsaP256:
      return "ecdsa";
    case KeyType::kRsaPss:
      return "rsa";
  }
  return "";
}

absl::string_view PublicKey::TufScheme() const {
  switch (parsed_->type) {
    case KeyType::kEd25519:
      return "ed25519";
    case KeyType::kEcdsaP256:
      return "ecdsa-sha2-nistp256";
    case KeyType::kRsaPss:
      return "rsassa-pss-sha256";
  }
  return "";
}

}  // namespace countersign::crypto
