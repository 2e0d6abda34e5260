// A development CA that issues the certificates of Countersign's identities. In production cert-manager or
// SPIRE does this.
#ifndef COUNTERSIGN_TOOLS_PKI_PKI_H_
#define COUNTERSIGN_TOOLS_PKI_PKI_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/crypto/x509.h"
#include "common/rpc/identity.h"

namespace countersign::pki {

struct Names {
  std::vector<std::string> dns_names;
  std::vector<std::string> ip_addresses;
};

// What servers get unless told otherwise: localhost and 127.0.0.1.
Names LoopbackNames();

// A CA and its trust domain. Immutable, thread-safe.
class Authority {
 public:
  // A new CA that is valid from an hour before `now` for `validity`. INVALID_ARGUMENT for a bad trust domain.
  static absl::StatusOr<Authority> Create(absl::string_view trust_domain, absl::Time now,
                                          absl::Duration validity);

  // From the files that Save wrote. NOT_FOUND, or INVALID_ARGUMENT for files that are not what they should
  // be.
  static absl::StatusOr<Authority> Load(const std::string& folder);

  // Writes ca.crt, ca.key (mode 0600) and trust-domain into `folder`, which is created. ALREADY_EXISTS when
  // one of them is there.
  absl::Status Save(const std::string& folder) const;

  // A leaf for spiffe://<trust-domain>/<role>/<id>, valid from an hour before `now` until `now + validity`.
  absl::StatusOr<crypto::CertificateAndKey> Issue(const rpc::Identity& identity, const Names& names,
                                                  absl::Time now, absl::Duration validity) const;

  const std::string& trust_domain() const { return trust_domain_; }
  const crypto::CertificateAndKey& certificate() const { return certificate_; }

 private:
  Authority(std::string trust_domain, crypto::CertificateAndKey certificate)
      : trust_domain_(std::move(trust_domain)), certificate_(std::move(certificate)) {}

  std::string trust_domain_;
  crypto::CertificateAndKey certificate_;
};

// Writes <name>.crt, <name>.key (mode 0600) and, unless it is there with the same content, ca.crt into
// `folder`, which is created. ALREADY_EXISTS when a certificate or key of that name is there, or another CA's
// ca.crt.
absl::Status WriteLeaf(const std::string& folder, const std::string& name,
                       const crypto::CertificateAndKey& leaf, absl::string_view ca_certificate_pem);

}  // namespace countersign::pki

#endif  // COUNTERSIGN_TOOLS_PKI_PKI_H_
