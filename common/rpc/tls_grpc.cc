#include "common/rpc/tls_grpc.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/crypto/x509.h"
#include "common/file/file.h"
#include "common/log/log.h"
#include "common/rpc/grpc_log.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "grpcpp/security/tls_certificate_verifier.h"
#include "grpcpp/security/tls_credentials_options.h"

namespace countersign::rpc::internal {
namespace {

namespace experimental = grpc::experimental;

absl::Status Misconfigured(const absl::Status& status, absl::string_view what, const std::string& file) {
  return Error(absl::StatusCode::kInvalidArgument, "BAD_TLS_FILES",
               absl::StrCat("the ", what, " ", file, " cannot be used: ", status.message()));
}

// Runs after OpenSSL has verified the peer's chain: looks only at whose certificate it is.
class IdentityVerifier final : public experimental::ExternalCertificateVerifier {
 public:
  IdentityVerifier(std::string trust_domain, std::optional<Identity> expected)
      : trust_domain_(std::move(trust_domain)), expected_(std::move(expected)) {}

  bool Verify(experimental::TlsCustomVerificationCheckRequest* request, std::function<void(grpc::Status)>,
              grpc::Status* result) override {
    std::vector<std::string> uris;
    for (const grpc::string_ref& uri : request->uri_names()) uris.emplace_back(uri.data(), uri.size());
    const absl::StatusOr<Identity> found = IdentityFromUris(uris, trust_domain_);
    std::string refusal;
    if (!found.ok()) {
      refusal = std::string(found.status().message());
    } else if (expected_.has_value() && *found != *expected_) {
      refusal = absl::StrCat("the peer is ", found->ToString(), " and not ", expected_->ToString());
    }
    if (refusal.empty()) return true;
    // gRPC tells the peer nothing of this, and on the server nobody else either.
    log::Warn("refused a connection", {{"reason", refusal}});
    *result = grpc::Status(grpc::StatusCode::UNAUTHENTICATED, refusal);
    return true;
  }

  void Cancel(experimental::TlsCustomVerificationCheckRequest*) override {}

 private:
  const std::string trust_domain_;
  const std::optional<Identity> expected_;
};

void Configure(experimental::TlsCredentialsOptions& options, const std::string& trust_domain,
               std::optional<Identity> expected) {
  options.watch_root_certs();
  options.watch_identity_key_cert_pairs();
  options.set_certificate_verifier(
      experimental::ExternalCertificateVerifier::Create<IdentityVerifier>(trust_domain, std::move(expected)));
  // Identity is the URI SAN's; a host name says nothing.
  options.set_check_call_host(false);
}

}  // namespace

absl::StatusOr<Identity> CheckTlsFiles(const TlsOptions& options) {
  if (!IsValidTrustDomain(options.trust_domain)) {
    return Error(absl::StatusCode::kInvalidArgument, "BAD_TRUST_DOMAIN",
                 absl::StrCat("\"", options.trust_domain, "\" is no trust domain"));
  }
  const absl::StatusOr<std::string> certificate = ReadFile(options.certificate_file);
  if (!certificate.ok()) return Misconfigured(certificate.status(), "certificate", options.certificate_file);
  const absl::StatusOr<std::string> key = ReadFile(options.key_file);
  if (!key.ok()) return Misconfigured(key.status(), "private key", options.key_file);
  const absl::StatusOr<std::string> ca = ReadFile(options.ca_file);
  if (!ca.ok()) return Misconfigured(ca.status(), "CA file", options.ca_file);
  if (const auto parsed = crypto::ParseCertificate(*ca); !parsed.ok()) {
    return Misconfigured(parsed.status(), "CA file", options.ca_file);
  }
  if (const absl::Status status = crypto::CheckKeyMatches(*certificate, *key); !status.ok()) {
    return Misconfigured(status, "private key", options.key_file);
  }
  const absl::StatusOr<crypto::CertificateInfo> info = crypto::ParseCertificate(*certificate);
  if (!info.ok()) return Misconfigured(info.status(), "certificate", options.certificate_file);
  const absl::StatusOr<Identity> identity = IdentityFromUris(info->uris, options.trust_domain);
  if (!identity.ok()) return Misconfigured(identity.status(), "certificate", options.certificate_file);
  return identity;
}

std::shared_ptr<experimental::CertificateProviderInterface> WatchTlsFiles(const TlsOptions& options) {
  LogForGrpc();
  return std::make_shared<experimental::FileWatcherCertificateProvider>(
      options.key_file, options.certificate_file, options.ca_file, options.refresh_seconds);
}

std::shared_ptr<grpc::ServerCredentials> ServerTls(const TlsOptions& options) {
  experimental::TlsServerCredentialsOptions tls(WatchTlsFiles(options));
  Configure(tls, options.trust_domain, std::nullopt);
  tls.set_cert_request_type(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  return experimental::TlsServerCredentials(tls);
}

std::shared_ptr<grpc::ChannelCredentials> ClientTls(
    const std::shared_ptr<experimental::CertificateProviderInterface>& provider,
    const std::string& trust_domain, const Identity& peer) {
  experimental::TlsChannelCredentialsOptions tls;
  tls.set_certificate_provider(provider);
  Configure(tls, trust_domain, peer);
  tls.set_verify_server_certs(true);
  return experimental::TlsCredentials(tls);
}

}  // namespace countersign::rpc::internal
