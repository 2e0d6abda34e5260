#include "common/rpc/memory_dialer.h"

#include <vector>

#include "common/rpc/channel_arguments.h"
#include "common/rpc/grpc_log.h"
#include "common/rpc/tls_grpc.h"
#include "grpcpp/grpcpp.h"

namespace countersign::rpc {

std::shared_ptr<grpc::Channel> DialFromMemory(const MemoryTls& tls, absl::string_view address,
                                              const Identity& peer, const ChannelOptions& options) {
  internal::LogForGrpc();
  const auto provider = std::make_shared<grpc::experimental::StaticDataCertificateProvider>(
      tls.ca_pem, std::vector<grpc::experimental::IdentityKeyCertPair>{{tls.key_pem, tls.certificate_pem}});
  return grpc::CreateCustomChannel(std::string(address),
                                   internal::ClientTls(provider, tls.trust_domain, peer),
                                   internal::ArgumentsFor(options));
}

}  // namespace countersign::rpc
