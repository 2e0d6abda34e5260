#include "common/crypto/chain.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/crypto/digest.h"
#include "common/crypto/openssl.h"
#include "common/status/errors.h"
#include "common/status/macros.h"

namespace countersign::crypto {
namespace {

struct FreeX509 {
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(GENERAL_NAMES* names) const { GENERAL_NAMES_free(names); }
};
using Certificate = std::unique_ptr<X509, FreeX509>;

absl::Status Malformed(absl::string_view what) {
  ERR_clear_error();
  return Error(absl::StatusCode::kInvalidArgument, "CREDENTIAL_MALFORMED",
               absl::StrCat("the certificate chain: ", what, "."));
}

absl::Status TooLong() {
  return Malformed(absl::StrCat("has more than ", kMaxChainLength, " certificates, or one of more than ",
                                kMaxCertificateBytes, " bytes"));
}

absl::StatusOr<std::vector<Certificate>> Read(absl::Span<const std::string> elements) {
  std::vector<Certificate> chain;
  for (const std::string& bytes : elements) {
    if (bytes.size() > 2 * kMaxChainLength * kMaxCertificateBytes) return TooLong();
    if (absl::StartsWith(bytes, "-----BEGIN")) {
      const OpenSslPtr<BIO> bio = ReadBio(bytes);
      size_t found = 0;
      while (X509* const certificate =
                 PEM_read_bio_X509(bio.get(), nullptr, nullptr, const_cast<char*>(""))) {
        chain.emplace_back(certificate);
        ++found;
        if (chain.size() > kMaxChainLength) return TooLong();
      }
      // What ends a PEM file is that there is no further beginning; anything else is a certificate that
      // cannot be read.
      const unsigned long error = ERR_peek_last_error();
      if (found == 0 || ERR_GET_REASON(error) != PEM_R_NO_START_LINE)
        return Malformed("is not PEM throughout");
      ERR_clear_error();
    } else {
      const auto* at = reinterpret_cast<const unsigned char*>(bytes.data());
      const unsigned char* const end = at + bytes.size();
      chain.emplace_back(d2i_X509(nullptr, &at, static_cast<long>(bytes.size())));
      if (chain.back() == nullptr || at != end) return Malformed("an element is not one certificate in DER");
    }
    if (chain.size() > kMaxChainLength) return TooLong();
  }
  return chain;
}

absl::StatusOr<absl::Time> ToTime(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return Malformed("a validity cannot be read");
  return absl::FromTM(parts, absl::UTCTimeZone());
}

std::vector<std::string> UrisOf(X509* certificate) {
  std::vector<std::string> uris;
  const std::unique_ptr<GENERAL_NAMES, FreeX509> names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; names != nullptr && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    int type = 0;
    const void* value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names.get(), i), &type);
    if (type != GEN_URI) continue;
    const auto* const text = static_cast<const ASN1_STRING*>(value);
    uris.emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                      static_cast<size_t>(ASN1_STRING_length(text)));
  }
  return uris;
}

bool Signed(X509* certificate, X509* issuer) {
  EVP_PKEY* const key = X509_get0_pubkey(issuer);
  const bool signed_by =
      key != nullptr &&
      X509_NAME_cmp(X509_get_issuer_name(certificate), X509_get_subject_name(issuer)) == 0 &&
      X509_verify(certificate, key) == 1;
  ERR_clear_error();
  return signed_by;
}

absl::StatusOr<ChainCertificate> Describe(X509* certificate) {
  ChainCertificate made;
  unsigned char* der = nullptr;
  const int length = i2d_X509(certificate, &der);
  if (length <= 0) return Malformed("a certificate cannot be written");
  made.der.assign(reinterpret_cast<char*>(der), static_cast<size_t>(length));
  OPENSSL_free(der);
  if (made.der.size() > kMaxCertificateBytes) return TooLong();
  made.sha256 = Sha256Hex(made.der);

  unsigned char* key = nullptr;
  const int key_length = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &key);
  if (key_length <= 0) return Malformed("a certificate has no public key");
  made.public_key_sha256 =
      Sha256Hex(absl::string_view(reinterpret_cast<char*>(key), static_cast<size_t>(key_length)));
  OPENSSL_free(key);

  made.uris = UrisOf(certificate);
  ASSIGN_OR_RETURN(made.not_before, ToTime(X509_get0_notBefore(certificate)));
  ASSIGN_OR_RETURN(made.not_after, ToTime(X509_get0_notAfter(certificate)));
  made.is_authority = X509_check_ca(certificate) == 1;
  made.self_signed = Signed(certificate, certificate);
  ERR_clear_error();
  return made;
}

}  // namespace

absl::StatusOr<std::vector<ChainCertificate>> ParseChain(absl::Span<const std::string> certificates) {
  ASSIGN_OR_RETURN(const std::vector<Certificate> chain, Read(certificates));
  if (chain.empty()) return Malformed("is empty");
  std::vector<ChainCertificate> made;
  for (size_t i = 0; i < chain.size(); ++i) {
    ASSIGN_OR_RETURN(ChainCertificate certificate, Describe(chain[i].get()));
    if (i + 1 < chain.size()) {
      X509* const issuer = chain[i + 1].get();
      certificate.signed_by_next = X509_check_ca(issuer) == 1 && Signed(chain[i].get(), issuer);
    }
    made.push_back(std::move(certificate));
  }
  return made;
}

}  // namespace countersign::crypto
