// Certificates of a small certification authority: enough to issue identities for mutual TLS, not a general
// X.509 library.
#ifndef COUNTERSIGN_COMMON_CRYPTO_X509_H_
#define COUNTERSIGN_COMMON_CRYPTO_X509_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace countersign::crypto {

// An ECDSA P-256 key (PKCS#8 PEM, not encrypted) and the certificate of its public half (PEM).
struct CertificateAndKey {
  std::string certificate_pem;
  std::string key_pem;
};

struct CertificateSpec {
  std::string common_name;        // 1 to 64 printable ASCII characters
  std::vector<std::string> uris;  // URI SANs
  std::vector<std::string> dns_names;
  std::vector<std::string> ip_addresses;  // "127.0.0.1", "::1"
  absl::Time not_before;
  absl::Time not_after;
};

// A self-signed CA with a new key: may sign leaves, no further CA. SANs in `spec` are not used.
// INVALID_ARGUMENT for a bad name or validity.
absl::StatusOr<CertificateAndKey> MakeCertificateAuthority(const CertificateSpec& spec);

// A leaf with a new key, signed by `authority` (as MakeCertificateAuthority makes it): for TLS servers and
// clients. INVALID_ARGUMENT for a bad name, address, URI or validity, or when `authority` is not a
// certificate with its key.
absl::StatusOr<CertificateAndKey> IssueCertificate(const CertificateAndKey& authority,
                                                   const CertificateSpec& spec);

// What a PEM certificate (the first of a chain) says. Nothing is verified.
struct CertificateInfo {
  std::string common_name;
  std::vector<std::string> uris;
  std::vector<std::string> dns_names;
  absl::Time not_before;
  absl::Time not_after;
};
absl::StatusOr<CertificateInfo> ParseCertificate(absl::string_view pem);

// OK when the first certificate of `certificate_pem` has the public key of `key_pem`; INVALID_ARGUMENT
// otherwise.
absl::Status CheckKeyMatches(absl::string_view certificate_pem, absl::string_view key_pem);

}  // namespace countersign::crypto

#endif  // COUNTERSIGN_COMMON_CRYPTO_X509_H_
