#include "common/crypto/pkcs11/encoding.h"

#include <openssl/x509.h>

#include "absl/strings/str_cat.h"
#include "common/status/errors.h"

namespace countersign::crypto::pkcs11 {
namespace {

constexpr size_t kScalarSize = 32;
constexpr size_t kP256PointSize = 1 + 2 * kScalarSize;
constexpr size_t kEd25519PointSize = 32;
constexpr size_t kMaxNumber = 1024;  // bytes: 8192 bits

// SubjectPublicKeyInfo up to the key itself (RFC 5480, RFC 8410, RFC 3279).
constexpr absl::string_view kP256Algorithm(
    "\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07", 21);
constexpr absl::string_view kEd25519Algorithm("\x30\x05\x06\x03\x2b\x65\x70", 7);
constexpr absl::string_view kRsaAlgorithm("\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00", 15);

enum Tag : char { kInteger = 0x02, kBitString = 0x03, kOctetString = 0x04, kSequence = 0x30 };

absl::Status Invalid(absl::string_view message) {
  return Error(absl::StatusCode::kInvalidArgument, kKeyInvalid, message);
}

// DER: tag, length, content of at most 65,535 bytes.
std::string Der(Tag tag, absl::string_view content) {
  std::string der(1, tag);
  const size_t size = content.size();
  if (size >= 0x100) {
    der += {'\x82', static_cast<char>(size >> 8), static_cast<char>(size)};
  } else if (size >= 0x80) {
    der += {'\x81', static_cast<char>(size)};
  } else {
    der += static_cast<char>(size);
  }
  absl::StrAppend(&der, content);
  return der;
}

// A number that is not negative, from big-endian bytes.
std::string DerInteger(absl::string_view bytes) {
  while (bytes.size() > 1 && bytes.front() == 0) bytes.remove_prefix(1);
  const bool high_bit = !bytes.empty() && (bytes.front() & 0x80) != 0;
  return Der(kInteger, absl::StrCat(high_bit || bytes.empty() ? std::string(1, '\0') : "", bytes));
}

absl::StatusOr<PublicKey> FromParts(absl::string_view algorithm, absl::string_view key) {
  return PublicKey::FromDer(
      Der(kSequence, absl::StrCat(algorithm, Der(kBitString, absl::StrCat(std::string(1, '\0'), key)))));
}

// The point of `size` bytes in `attribute`. By its length, since a bare point may begin like an OCTET STRING.
absl::StatusOr<absl::string_view> Unwrap(absl::string_view attribute, size_t size) {
  if (attribute.size() == size) return attribute;
  if (attribute.size() == size + 2 && attribute[0] == kOctetString &&
      attribute[1] == static_cast<char>(size)) {
    return attribute.substr(2);
  }
  return Invalid("the token's CKA_EC_POINT is not a point of this key's curve");
}

}  // namespace

absl::StatusOr<std::string> EcdsaSignatureToDer(absl::string_view raw) {
  if (raw.size() != 2 * kScalarSize) {
    return Invalid(absl::StrCat("the token's ECDSA signature has ", raw.size(), " bytes instead of 64"));
  }
  return Der(kSequence,
             absl::StrCat(DerInteger(raw.substr(0, kScalarSize)), DerInteger(raw.substr(kScalarSize))));
}

absl::StatusOr<std::string> EcdsaSignatureFromDer(absl::string_view der) {
  std::string raw;
  absl::string_view rest = der;
  if (rest.size() >= 2) rest.remove_prefix(2);
  for (int i = 0; i < 2; ++i) {
    const size_t size = rest.size() < 2 ? 0 : static_cast<unsigned char>(rest[1]);
    if (size == 0 || size > kScalarSize + 1 || rest.size() < 2 + size) break;
    absl::string_view number = rest.substr(2, size);
    if (number.size() > kScalarSize) number.remove_prefix(1);
    absl::StrAppend(&raw, std::string(kScalarSize - number.size(), '\0'), number);
    rest.remove_prefix(2 + size);
  }
  // Only what comes out the same was DER.
  const absl::StatusOr<std::string> again = EcdsaSignatureToDer(raw);
  if (!again.ok() || *again != der) return Invalid("not the DER of an ECDSA signature on P-256");
  return raw;
}

absl::StatusOr<PublicKey> P256FromPoint(absl::string_view point) {
  const absl::StatusOr<absl::string_view> bare = Unwrap(point, kP256PointSize);
  if (!bare.ok()) return bare.status();
  return FromParts(kP256Algorithm, *bare);
}

absl::StatusOr<PublicKey> Ed25519FromPoint(absl::string_view point) {
  const absl::StatusOr<absl::string_view> bare = Unwrap(point, kEd25519PointSize);
  if (!bare.ok()) return bare.status();
  return FromParts(kEd25519Algorithm, *bare);
}

absl::StatusOr<PublicKey> RsaFromNumbers(absl::string_view modulus, absl::string_view exponent) {
  if (modulus.size() > kMaxNumber || exponent.size() > kMaxNumber) {
    return Invalid("the token's RSA key is too large");
  }
  return FromParts(kRsaAlgorithm, Der(kSequence, absl::StrCat(DerInteger(modulus), DerInteger(exponent))));
}

absl::StatusOr<PublicKey> KeyOfCertificate(absl::string_view der) {
  const auto* data = reinterpret_cast<const unsigned char*>(der.data());
  const std::unique_ptr<X509, decltype(&X509_free)> certificate(
      d2i_X509(nullptr, &data, static_cast<long>(der.size())), &X509_free);
  if (certificate == nullptr) return Invalid("the token's certificate is not one");
  unsigned char* spki = nullptr;
  const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate.get()), &spki);
  if (size <= 0) return Invalid("the token's certificate has no public key");
  const std::string bytes(reinterpret_cast<char*>(spki), static_cast<size_t>(size));
  OPENSSL_free(spki);
  return PublicKey::FromDer(bytes);
}

absl::string_view P256Parameters() { return kP256Algorithm.substr(11); }

absl::string_view Ed25519Parameters() { return kEd25519Algorithm.substr(2); }

}  // namespace countersign::crypto::pkcs11
