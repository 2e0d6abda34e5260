#include "common/crypto/derived_key.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/obj_mac.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/crypto/digest.h"
#include "common/crypto/openssl.h"

namespace countersign::crypto {
namespace {

template <auto Free>
struct Deleter {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
using Number = std::unique_ptr<BIGNUM, Deleter<&BN_free>>;
using Group = std::unique_ptr<EC_GROUP, Deleter<&EC_GROUP_free>>;
using Point = std::unique_ptr<EC_POINT, Deleter<&EC_POINT_free>>;
using Builder = std::unique_ptr<OSSL_PARAM_BLD, Deleter<&OSSL_PARAM_BLD_free>>;
using Parameters = std::unique_ptr<OSSL_PARAM, Deleter<&OSSL_PARAM_free>>;

// Different for each type of key and each attempt.
std::string Digest(absl::string_view what, absl::string_view secret) {
  return Sha256(absl::StrCat("countersign derived key\n", what, "\n", secret));
}

OpenSslPtr<EVP_PKEY> Ed25519Key(absl::string_view secret) {
  const std::string raw = Digest("ed25519", secret);
  return OpenSslPtr<EVP_PKEY>(EVP_PKEY_new_raw_private_key(
      EVP_PKEY_ED25519, nullptr, reinterpret_cast<const unsigned char*>(raw.data()), raw.size()));
}

// A number from 1 to the group's order, exclusive: one digest in 2^32 is not, and then the next one is taken.
Number Scalar(const EC_GROUP* group, absl::string_view secret) {
  for (int attempt = 0;; ++attempt) {
    const std::string digest = Digest(absl::StrCat("p-256 ", attempt), secret);
    Number scalar(BN_bin2bn(reinterpret_cast<const unsigned char*>(digest.data()),
                            static_cast<int>(digest.size()), nullptr));
    if (scalar == nullptr) return nullptr;
    if (!BN_is_zero(scalar.get()) && BN_cmp(scalar.get(), EC_GROUP_get0_order(group)) < 0) return scalar;
  }
}

OpenSslPtr<EVP_PKEY> P256Key(absl::string_view secret) {
  const Group group(EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1));
  if (group == nullptr) return nullptr;
  const Number scalar = Scalar(group.get(), secret);
  const Point point(EC_POINT_new(group.get()));
  if (scalar == nullptr || point == nullptr ||
      EC_POINT_mul(group.get(), point.get(), scalar.get(), nullptr, nullptr, nullptr) != 1) {
    return nullptr;
  }
  unsigned char encoded[65];
  const size_t size = EC_POINT_point2oct(group.get(), point.get(), POINT_CONVERSION_UNCOMPRESSED, encoded,
                                         sizeof(encoded), nullptr);
  const Builder builder(OSSL_PARAM_BLD_new());
  if (size == 0 || builder == nullptr ||
      OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) != 1 ||
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_PRIV_KEY, scalar.get()) != 1 ||
      OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, encoded, size) != 1) {
    return nullptr;
  }
  const Parameters parameters(OSSL_PARAM_BLD_to_param(builder.get()));
  const OpenSslPtr<EVP_PKEY_CTX> context(EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr));
  EVP_PKEY* key = nullptr;
  if (parameters == nullptr || context == nullptr || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_KEYPAIR, parameters.get()) != 1) {
    return nullptr;
  }
  return OpenSslPtr<EVP_PKEY>(key);
}

}  // namespace

absl::StatusOr<PemSigner> DeriveSigner(KeyType type, absl::string_view secret) {
  if (type == KeyType::kRsaPss) return absl::InvalidArgumentError("an RSA key is not derived");
  const OpenSslPtr<EVP_PKEY> key = type == KeyType::kEd25519 ? Ed25519Key(secret) : P256Key(secret);
  const OpenSslPtr<BIO> bio(BIO_new(BIO_s_mem()));
  if (key == nullptr ||
      PEM_write_bio_PrivateKey(bio.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return absl::InternalError(absl::StrCat("OpenSSL cannot derive a key: ", TakeOpenSslErrors()));
  }
  return PemSigner::Parse(BioContents(bio.get()));
}

}  // namespace countersign::crypto
