// Channels with a certificate that is in no file, for a process that is very many identities at once: nothing
// is watched, and nothing is read again.
#ifndef COUNTERSIGN_COMMON_RPC_MEMORY_DIALER_H_
#define COUNTERSIGN_COMMON_RPC_MEMORY_DIALER_H_

#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "common/rpc/channel.h"
#include "common/rpc/identity.h"

namespace countersign::rpc {

struct MemoryTls {
  std::string certificate_pem;  // chain, leaf first
  std::string key_pem;
  std::string ca_pem;
  std::string trust_domain;
};

// As Dialer::Dial: the same checks of the peer, the same reconnection.
std::shared_ptr<grpc::Channel> DialFromMemory(const MemoryTls& tls, absl::string_view address,
                                              const Identity& peer, const ChannelOptions& options = {});

}  // namespace countersign::rpc

#endif  // COUNTERSIGN_COMMON_RPC_MEMORY_DIALER_H_
