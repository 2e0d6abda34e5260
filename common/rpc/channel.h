// Calls to other processes, over mutual TLS, to the identity that is meant and no other.
//
//   rpc::Dialer dialer(options.tls);
//   auto stub = v1::InventoryService::NewStub(dialer.Dial(address, {rpc::Role::kService, "inventory"}));
//   ...
//   rpc::CallContext context(call.deadline());  // or rpc::CallContext(absl::Seconds(5))
//   v1::Gateway gateway;
//   RETURN_IF_ERROR(rpc::FromGrpc(stub->GetGateway(context.get(), request, &gateway)));
#ifndef COUNTERSIGN_COMMON_RPC_CHANNEL_H_
#define COUNTERSIGN_COMMON_RPC_CHANNEL_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/rpc/identity.h"
#include "common/rpc/status_grpc.h"
#include "common/rpc/tls.h"

namespace grpc {
class Channel;
class ChannelInterface;
class ClientContext;
}  // namespace grpc

namespace countersign::rpc {

struct ChannelOptions {
  int max_message_bytes = 4 << 20;
  // A call that ends with UNAVAILABLE is tried again, this many times in all, with exponential backoff and
  // within its deadline. gRPC retries only while no message of the answer has arrived, and mutations carry
  // request ids, so that a repetition does nothing twice.
  int max_attempts = 4;
};

// Makes channels with one watched set of certificate files. Thread-safe. Channels may outlive it.
class Dialer {
 public:
  explicit Dialer(TlsOptions tls);
  ~Dialer();
  Dialer(const Dialer&) = delete;
  Dialer& operator=(const Dialer&) = delete;

  // `address` is host:port. The channel has a connection of its own, made when first used, and again after
  // every loss. The server must show a certificate of the trust domain for exactly `peer`; its host name does
  // not matter. To anyone else no byte of a call is sent, and calls end with UNAVAILABLE that names the
  // identity that was found.
  std::shared_ptr<grpc::Channel> Dial(absl::string_view address, const Identity& peer,
                                      const ChannelOptions& options = {}) const;

  const TlsOptions& tls() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// A ClientContext with a deadline and this thread's request id (common/log) as `x-request-id`, so that one id
// follows a request through all services. For one call.
class CallContext {
 public:
  explicit CallContext(absl::Time deadline);
  explicit CallContext(absl::Duration timeout);
  ~CallContext();
  CallContext(const CallContext&) = delete;
  CallContext& operator=(const CallContext&) = delete;

  grpc::ClientContext* get() { return context_.get(); }
  grpc::ClientContext* operator->() { return context_.get(); }

 private:
  std::unique_ptr<grpc::ClientContext> context_;
};

}  // namespace countersign::rpc

#endif  // COUNTERSIGN_COMMON_RPC_CHANNEL_H_
