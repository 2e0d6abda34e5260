#include "common/rpc/channel.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/clock/clock.h"
#include "common/log/log.h"
#include "common/rpc/channel_arguments.h"
#include "common/rpc/tls_grpc.h"
#include "grpcpp/grpcpp.h"

namespace countersign::rpc {
namespace {

constexpr int kPingMillis = 30'000;
constexpr int kPingTimeoutMillis = 10'000;
// A server that restarts is found again soon, and one that stays away is not hammered.
constexpr int kMinReconnectMillis = 100;
constexpr int kMaxReconnectMillis = 5'000;
constexpr int kMostAttempts = 5;  // gRPC's own limit

std::string RetryPolicy(int max_attempts) {
  return absl::StrCat(R"({"methodConfig":[{"name":[{}],"retryPolicy":{"maxAttempts":)",
                      std::min(max_attempts, kMostAttempts),
                      R"(,"initialBackoff":"0.1s","maxBackoff":"2s","backoffMultiplier":2,)"
                      R"("retryableStatusCodes":["UNAVAILABLE"]}}]})");
}

}  // namespace

grpc::ChannelArguments internal::ArgumentsFor(const ChannelOptions& options) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(options.max_message_bytes);
  arguments.SetMaxSendMessageSize(options.max_message_bytes);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kPingMillis);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kPingTimeoutMillis);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kMinReconnectMillis);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kMaxReconnectMillis);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kMaxReconnectMillis);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  if (options.max_attempts > 1) {
    arguments.SetServiceConfigJSON(RetryPolicy(options.max_attempts));
  } else {
    arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  }
  // An address that is a name is found by this machine's resolver, without asking for service configurations
  // in DNS.
  arguments.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  return arguments;
}

struct Dialer::State {
  TlsOptions tls;
  std::shared_ptr<grpc::experimental::CertificateProviderInterface> provider;
};

Dialer::Dialer(TlsOptions tls) : state_(std::make_unique<State>()) {
  state_->tls = std::move(tls);
  state_->provider = internal::WatchTlsFiles(state_->tls);
}

Dialer::~Dialer() = default;

const TlsOptions& Dialer::tls() const { return state_->tls; }

std::shared_ptr<grpc::Channel> Dialer::Dial(absl::string_view address, const Identity& peer,
                                            const ChannelOptions& options) const {
  return grpc::CreateCustomChannel(std::string(address),
                                   internal::ClientTls(state_->provider, state_->tls.trust_domain, peer),
                                   internal::ArgumentsFor(options));
}

CallContext::CallContext(absl::Time deadline) : context_(std::make_unique<grpc::ClientContext>()) {
  if (deadline != absl::InfiniteFuture()) context_->set_deadline(absl::ToChronoTime(deadline));
  if (const std::string& id = log::CurrentRequestId(); !id.empty()) context_->AddMetadata("x-request-id", id);
}

CallContext::CallContext(absl::Duration timeout) : CallContext(SystemClock().Now() + timeout) {}

CallContext::~CallContext() = default;

}  // namespace countersign::rpc
