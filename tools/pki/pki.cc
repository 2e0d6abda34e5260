#include "tools/pki/pki.h"

#include <sys/stat.h>

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/file/file.h"
#include "common/status/errors.h"
#include "common/status/macros.h"

namespace countersign::pki {
namespace {

constexpr char kCaCertificate[] = "/ca.crt";
constexpr char kCaKey[] = "/ca.key";
constexpr char kTrustDomain[] = "/trust-domain";
constexpr mode_t kSecret = 0600;

// Clocks of machines that talk to each other differ a little.
constexpr absl::Duration kBackdated = absl::Hours(1);

bool Exists(const std::string& path) {
  struct stat found;
  return lstat(path.c_str(), &found) == 0;
}

absl::Status RefuseToOverwrite(const std::string& path) {
  if (!Exists(path)) return absl::OkStatus();
  return Error(absl::StatusCode::kAlreadyExists, "FILE_EXISTS",
               absl::StrCat(path, " is there already; remove it first, or choose another folder"));
}

}  // namespace

Names LoopbackNames() { return Names{{"localhost"}, {"127.0.0.1"}}; }

absl::StatusOr<Authority> Authority::Create(absl::string_view trust_domain, absl::Time now,
                                            absl::Duration validity) {
  if (!rpc::IsValidTrustDomain(trust_domain)) {
    return Error(
        absl::StatusCode::kInvalidArgument, "BAD_TRUST_DOMAIN",
        absl::StrCat("\"", trust_domain, "\" is no trust domain: write 1 to 255 of a-z, 0-9, '.', '-', '_'"));
  }
  crypto::CertificateSpec spec;
  spec.common_name = absl::StrCat("Development CA ", trust_domain).substr(0, 64);
  spec.not_before = now - kBackdated;
  spec.not_after = now + validity;
  ASSIGN_OR_RETURN(crypto::CertificateAndKey certificate, crypto::MakeCertificateAuthority(spec));
  return Authority(std::string(trust_domain), std::move(certificate));
}

absl::StatusOr<Authority> Authority::Load(const std::string& folder) {
  crypto::CertificateAndKey certificate;
  ASSIGN_OR_RETURN(certificate.certificate_pem, ReadFile(folder + kCaCertificate));
  ASSIGN_OR_RETURN(certificate.key_pem, ReadFile(folder + kCaKey));
  ASSIGN_OR_RETURN(std::string trust_domain, ReadFile(folder + kTrustDomain));
  absl::StripAsciiWhitespace(&trust_domain);
  if (!rpc::IsValidTrustDomain(trust_domain)) {
    return Error(absl::StatusCode::kInvalidArgument, "BAD_TRUST_DOMAIN",
                 absl::StrCat(folder, kTrustDomain, " holds no trust domain"));
  }
  RETURN_IF_ERROR(
      Annotate(crypto::CheckKeyMatches(certificate.certificate_pem, certificate.key_pem), folder));
  return Authority(std::move(trust_domain), std::move(certificate));
}

absl::Status Authority::Save(const std::string& folder) const {
  RETURN_IF_ERROR(MakeDirectories(folder));
  for (const char* file : {kCaCertificate, kCaKey, kTrustDomain})
    RETURN_IF_ERROR(RefuseToOverwrite(folder + file));
  RETURN_IF_ERROR(WriteFileAtomically(folder + kCaKey, certificate_.key_pem, kSecret));
  RETURN_IF_ERROR(WriteFileAtomically(folder + kCaCertificate, certificate_.certificate_pem));
  return WriteFileAtomically(folder + kTrustDomain, trust_domain_ + "\n");
}

absl::StatusOr<crypto::CertificateAndKey> Authority::Issue(const rpc::Identity& identity, const Names& names,
                                                           absl::Time now, absl::Duration validity) const {
  crypto::CertificateSpec spec;
  spec.common_name = identity.ToString().substr(0, 64);
  spec.uris = {identity.ToUri(trust_domain_)};
  spec.dns_names = names.dns_names;
  spec.ip_addresses = names.ip_addresses;
  spec.not_before = now - kBackdated;
  spec.not_after = now + validity;
  return crypto::IssueCertificate(certificate_, spec);
}

absl::Status WriteLeaf(const std::string& folder, const std::string& name,
                       const crypto::CertificateAndKey& leaf, absl::string_view ca_certificate_pem) {
  RETURN_IF_ERROR(MakeDirectories(folder));
  const std::string certificate = absl::StrCat(folder, "/", name, ".crt");
  const std::string key = absl::StrCat(folder, "/", name, ".key");
  const std::string ca = folder + kCaCertificate;
  RETURN_IF_ERROR(RefuseToOverwrite(certificate));
  RETURN_IF_ERROR(RefuseToOverwrite(key));
  const absl::StatusOr<std::string> ca_there = ReadFile(ca);
  if (ca_there.ok() && *ca_there != ca_certificate_pem) return RefuseToOverwrite(ca);
  if (!ca_there.ok()) RETURN_IF_ERROR(WriteFileAtomically(ca, ca_certificate_pem));
  RETURN_IF_ERROR(WriteFileAtomically(key, leaf.key_pem, kSecret));
  return WriteFileAtomically(certificate, leaf.certificate_pem);
}

}  // namespace countersign::pki
