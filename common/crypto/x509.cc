#include "common/crypto/x509.h"

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/errors.h"
#include "common/status/macros.h"

namespace countersign::crypto {
namespace {

template <auto Free>
struct Deleter {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
using Bio = std::unique_ptr<BIO, Deleter<&BIO_free_all>>;
using Key = std::unique_ptr<EVP_PKEY, Deleter<&EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Deleter<&X509_free>>;
using Name = std::unique_ptr<GENERAL_NAME, Deleter<&GENERAL_NAME_free>>;
using Names = std::unique_ptr<GENERAL_NAMES, Deleter<&GENERAL_NAMES_free>>;
using Time = std::unique_ptr<ASN1_TIME, Deleter<&ASN1_TIME_free>>;
using Extension = std::unique_ptr<X509_EXTENSION, Deleter<&X509_EXTENSION_free>>;

constexpr int kSerialBytes = 16;
constexpr size_t kMaxCommonName = 64;  // RFC 5280, ub-common-name
constexpr size_t kMaxSanBytes = 2048;

absl::Status Bad(absl::string_view what) {
  ERR_clear_error();
  return Error(absl::StatusCode::kInvalidArgument, "BAD_CERTIFICATE", what);
}

// What fails here fails for lack of memory or a broken OpenSSL, never for what the caller gave.
absl::Status OpenSslFailed(absl::string_view what) {
  const unsigned long code = ERR_get_error();
  char text[256];
  ERR_error_string_n(code, text, sizeof(text));
  ERR_clear_error();
  return absl::InternalError(absl::StrCat(what, ": ", text));
}

bool IsPrintableAscii(absl::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

absl::Status CheckSpec(const CertificateSpec& spec) {
  const absl::string_view name = spec.common_name;
  if (name.empty() || name.size() > kMaxCommonName ||
      !std::all_of(name.begin(), name.end(), [](char c) { return c >= 0x20 && c < 0x7f; })) {
    return Bad("a common name has 1 to 64 printable ASCII characters");
  }
  if (spec.not_before >= spec.not_after) return Bad("a certificate must begin before it ends");
  for (const std::vector<std::string>* names : {&spec.uris, &spec.dns_names}) {
    for (const std::string& san : *names) {
      if (san.empty() || san.size() > kMaxSanBytes || !IsPrintableAscii(san)) {
        return Bad("a name in a certificate is printable ASCII without blanks");
      }
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> Contents(const Bio& bio) {
  char* data = nullptr;
  const long length = BIO_get_mem_data(bio.get(), &data);
  if (length <= 0) return OpenSslFailed("writing PEM");
  return std::string(data, static_cast<size_t>(length));
}

absl::StatusOr<std::string> ToPem(X509* certificate) {
  const Bio bio(BIO_new(BIO_s_mem()));
  if (bio == nullptr || PEM_write_bio_X509(bio.get(), certificate) != 1)
    return OpenSslFailed("writing a certificate");
  return Contents(bio);
}

absl::StatusOr<std::string> ToPem(EVP_PKEY* key) {
  const Bio bio(BIO_new(BIO_s_mem()));
  if (bio == nullptr ||
      PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return OpenSslFailed("writing a key");
  }
  return Contents(bio);
}

absl::StatusOr<Certificate> ReadCertificate(absl::string_view pem) {
  const Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  if (bio == nullptr) return OpenSslFailed("reading a certificate");
  Certificate certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  if (certificate == nullptr) return Bad("this is no PEM certificate");
  return certificate;
}

absl::StatusOr<Key> ReadKey(absl::string_view pem) {
  const Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  if (bio == nullptr) return OpenSslFailed("reading a key");
  // An empty passphrase instead of none: OpenSSL must never ask the terminal for one.
  Key key(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, const_cast<char*>("")));
  if (key == nullptr) return Bad("this is no PEM private key without passphrase");
  return key;
}

absl::Status AddExtension(X509* certificate, X509* issuer, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const Extension extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value));
  if (extension == nullptr || X509_add_ext(certificate, extension.get(), -1) != 1) {
    return OpenSslFailed(absl::StrCat("adding the extension ", OBJ_nid2sn(nid)));
  }
  return absl::OkStatus();
}

absl::Status AddName(GENERAL_NAMES* names, int type, ASN1_STRING* value) {
  Name name(GENERAL_NAME_new());
  if (name == nullptr || value == nullptr) {
    ASN1_STRING_free(value);
    return OpenSslFailed("adding a name");
  }
  GENERAL_NAME_set0_value(name.get(), type, value);
  if (sk_GENERAL_NAME_push(names, name.get()) <= 0) return OpenSslFailed("adding a name");
  name.release();
  return absl::OkStatus();
}

// The names go in as values and not through OpenSSL's configuration syntax, which would read commas in them.
absl::Status AddSubjectAlternativeNames(X509* certificate, const CertificateSpec& spec) {
  const Names names(GENERAL_NAMES_new());
  if (names == nullptr) return OpenSslFailed("adding names");
  const auto text = [](const std::string& value) {
    ASN1_IA5STRING* made = ASN1_IA5STRING_new();
    if (made != nullptr) ASN1_STRING_set(made, value.data(), static_cast<int>(value.size()));
    return made;
  };
  for (const std::string& uri : spec.uris) RETURN_IF_ERROR(AddName(names.get(), GEN_URI, text(uri)));
  for (const std::string& dns : spec.dns_names) RETURN_IF_ERROR(AddName(names.get(), GEN_DNS, text(dns)));
  for (const std::string& address : spec.ip_addresses) {
    ASN1_OCTET_STRING* ip = a2i_IPADDRESS(address.c_str());
    if (ip == nullptr) return Bad(absl::StrCat("\"", address, "\" is no IP address"));
    RETURN_IF_ERROR(AddName(names.get(), GEN_IPADD, ip));
  }
  if (sk_GENERAL_NAME_num(names.get()) == 0) return absl::OkStatus();
  if (X509_add1_ext_i2d(certificate, NID_subject_alt_name, names.get(), 0, 0) != 1) {
    return OpenSslFailed("adding names");
  }
  return absl::OkStatus();
}

// A certificate with a new key, everything but issuer, extensions and signature.
absl::Status Begin(const CertificateSpec& spec, Certificate& certificate, Key& key) {
  RETURN_IF_ERROR(CheckSpec(spec));
  key.reset(EVP_EC_gen("P-256"));
  certificate.reset(X509_new());
  if (key == nullptr || certificate == nullptr) return OpenSslFailed("making a key");
  unsigned char serial[kSerialBytes];
  if (RAND_bytes(serial, sizeof(serial)) != 1) return OpenSslFailed("making a serial number");
  serial[0] = (serial[0] & 0x7f) | 0x40;  // positive, and of full length
  std::unique_ptr<BIGNUM, Deleter<&BN_free>> number(BN_bin2bn(serial, sizeof(serial), nullptr));
  const Time not_before(ASN1_TIME_set(nullptr, absl::ToTimeT(spec.not_before)));
  const Time not_after(ASN1_TIME_set(nullptr, absl::ToTimeT(spec.not_after)));
  if (not_before == nullptr || not_after == nullptr) return Bad("a certificate's validity is out of range");
  X509_NAME* subject = X509_get_subject_name(certificate.get());
  if (number == nullptr || X509_set_version(certificate.get(), X509_VERSION_3) != 1 ||
      BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate.get())) == nullptr ||
      X509_set1_notBefore(certificate.get(), not_before.get()) != 1 ||
      X509_set1_notAfter(certificate.get(), not_after.get()) != 1 ||
      X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_ASC,
                                 reinterpret_cast<const unsigned char*>(spec.common_name.data()),
                                 static_cast<int>(spec.common_name.size()), -1, 0) != 1 ||
      X509_set_pubkey(certificate.get(), key.get()) != 1) {
    return OpenSslFailed("filling a certificate");
  }
  return absl::OkStatus();
}

absl::StatusOr<CertificateAndKey> Finish(X509* certificate, EVP_PKEY* signer, EVP_PKEY* key) {
  if (X509_sign(certificate, signer, EVP_sha256()) == 0) return OpenSslFailed("signing a certificate");
  CertificateAndKey made;
  ASSIGN_OR_RETURN(made.certificate_pem, ToPem(certificate));
  ASSIGN_OR_RETURN(made.key_pem, ToPem(key));
  return made;
}

absl::StatusOr<absl::Time> ToTime(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return Bad("the certificate's validity cannot be read");
  return absl::FromTM(parts, absl::UTCTimeZone());
}

std::string ToString(const ASN1_STRING* text) {
  return std::string(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                     static_cast<size_t>(ASN1_STRING_length(text)));
}

}  // namespace

absl::StatusOr<CertificateAndKey> MakeCertificateAuthority(const CertificateSpec& spec) {
  Certificate certificate;
  Key key;
  RETURN_IF_ERROR(Begin(spec, certificate, key));
  if (X509_set_issuer_name(certificate.get(), X509_get_subject_name(certificate.get())) != 1) {
    return OpenSslFailed("filling a certificate");
  }
  X509* const itself = certificate.get();
  RETURN_IF_ERROR(AddExtension(itself, itself, NID_basic_constraints, "critical,CA:TRUE,pathlen:0"));
  RETURN_IF_ERROR(AddExtension(itself, itself, NID_key_usage, "critical,keyCertSign,cRLSign"));
  RETURN_IF_ERROR(AddExtension(itself, itself, NID_subject_key_identifier, "hash"));
  return Finish(itself, key.get(), key.get());
}

absl::StatusOr<CertificateAndKey> IssueCertificate(const CertificateAndKey& authority,
                                                   const CertificateSpec& spec) {
  RETURN_IF_ERROR(CheckKeyMatches(authority.certificate_pem, authority.key_pem));
  ASSIGN_OR_RETURN(const Certificate issuer, ReadCertificate(authority.certificate_pem));
  ASSIGN_OR_RETURN(const Key issuer_key, ReadKey(authority.key_pem));
  if (X509_check_ca(issuer.get()) != 1) return Bad("the issuer is no certification authority");
  Certificate certificate;
  Key key;
  RETURN_IF_ERROR(Begin(spec, certificate, key));
  X509* const leaf = certificate.get();
  if (X509_set_issuer_name(leaf, X509_get_subject_name(issuer.get())) != 1) {
    return OpenSslFailed("filling a certificate");
  }
  RETURN_IF_ERROR(AddExtension(leaf, issuer.get(), NID_basic_constraints, "critical,CA:FALSE"));
  RETURN_IF_ERROR(AddExtension(leaf, issuer.get(), NID_key_usage, "critical,digitalSignature"));
  RETURN_IF_ERROR(AddExtension(leaf, issuer.get(), NID_ext_key_usage, "serverAuth,clientAuth"));
  RETURN_IF_ERROR(AddExtension(leaf, issuer.get(), NID_subject_key_identifier, "hash"));
  RETURN_IF_ERROR(AddExtension(leaf, issuer.get(), NID_authority_key_identifier, "keyid:always"));
  RETURN_IF_ERROR(AddSubjectAlternativeNames(leaf, spec));
  return Finish(leaf, issuer_key.get(), key.get());
}

absl::StatusOr<CertificateInfo> ParseCertificate(absl::string_view pem) {
  ASSIGN_OR_RETURN(const Certificate certificate, ReadCertificate(pem));
  CertificateInfo info;
  char name[kMaxCommonName + 1] = "";
  if (X509_NAME_get_text_by_NID(X509_get_subject_name(certificate.get()), NID_commonName, name,
                                sizeof(name)) > 0) {
    info.common_name = name;
  }
  const Names names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate.get(), NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; names != nullptr && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    int type = 0;
    const void* value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names.get(), i), &type);
    if (type == GEN_URI) info.uris.push_back(ToString(static_cast<const ASN1_STRING*>(value)));
    if (type == GEN_DNS) info.dns_names.push_back(ToString(static_cast<const ASN1_STRING*>(value)));
  }
  ASSIGN_OR_RETURN(info.not_before, ToTime(X509_get0_notBefore(certificate.get())));
  ASSIGN_OR_RETURN(info.not_after, ToTime(X509_get0_notAfter(certificate.get())));
  ERR_clear_error();
  return info;
}

absl::Status CheckKeyMatches(absl::string_view certificate_pem, absl::string_view key_pem) {
  ASSIGN_OR_RETURN(const Certificate certificate, ReadCertificate(certificate_pem));
  ASSIGN_OR_RETURN(const Key key, ReadKey(key_pem));
  if (X509_check_private_key(certificate.get(), key.get()) != 1) {
    return Bad("the private key is not the certificate's");
  }
  return absl::OkStatus();
}

}  // namespace countersign::crypto
