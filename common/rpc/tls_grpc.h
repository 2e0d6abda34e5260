// gRPC credentials from TlsOptions. Internal to common/rpc.
#ifndef COUNTERSIGN_COMMON_RPC_TLS_GRPC_H_
#define COUNTERSIGN_COMMON_RPC_TLS_GRPC_H_

#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "common/rpc/identity.h"
#include "common/rpc/tls.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/security/tls_certificate_provider.h"

namespace countersign::rpc::internal {

// Who the files say that this process is. INVALID_ARGUMENT when one is missing, or they do not belong
// together or to the trust domain.
absl::StatusOr<Identity> CheckTlsFiles(const TlsOptions& options);

std::shared_ptr<grpc::experimental::CertificateProviderInterface> WatchTlsFiles(const TlsOptions& options);

// Mutual TLS, 1.2 at least (gRPC's floor). The peer's certificate must chain to the CA file and name one
// identity of the trust domain.
std::shared_ptr<grpc::ServerCredentials> ServerTls(const TlsOptions& options);
// And the server's certificate must name `peer`.
std::shared_ptr<grpc::ChannelCredentials> ClientTls(
    const std::shared_ptr<grpc::experimental::CertificateProviderInterface>& provider,
    const std::string& trust_domain, const Identity& peer);

}  // namespace countersign::rpc::internal

#endif  // COUNTERSIGN_COMMON_RPC_TLS_GRPC_H_
