#include "common/rpc/server.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/clock/clock.h"
#include "common/file/file.h"
#include "common/log/log.h"
#include "common/rpc/http_listener.h"
#include "common/rpc/runtime.h"
#include "common/rpc/tls_grpc.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "grpcpp/ext/proto_server_reflection_plugin.h"
#include "grpcpp/grpcpp.h"
#include "grpcpp/health_check_service_interface.h"

namespace countersign::rpc {
namespace {

// A client may ping an idle connection this often; what pings more is cut off. Clients of common/rpc ping
// every 30 s.
constexpr int kMinPingMillis = 10'000;
// The server pings silent connections, so that those of gateways that lost power are noticed and freed.
constexpr int kPingMillis = 60'000;
constexpr int kPingTimeoutMillis = 20'000;

struct HostPort {
  std::string host;
  int port = 0;
};

absl::StatusOr<HostPort> ParseHostPort(const std::string& address, absl::string_view flag) {
  const size_t colon = address.rfind(':');
  HostPort parsed;
  if (colon == std::string::npos || colon == 0 ||
      !absl::SimpleAtoi(address.substr(colon + 1), &parsed.port) || parsed.port < 0 || parsed.port > 65535) {
    return Error(absl::StatusCode::kInvalidArgument, "BAD_ADDRESS",
                 absl::StrCat(flag, " \"", address, "\" is not host:port"));
  }
  parsed.host = address.substr(0, colon);
  if (parsed.host.size() > 2 && parsed.host.front() == '[' && parsed.host.back() == ']') {
    parsed.host = parsed.host.substr(1, parsed.host.size() - 2);
  }
  return parsed;
}

absl::Status CheckOptions(const ServerOptions& options) {
  if (options.threads < 1 || options.max_queued_calls < 1 || options.max_message_bytes < 1 ||
      options.max_concurrent_streams < 1 || options.grace < absl::ZeroDuration()) {
    return Error(
        absl::StatusCode::kInvalidArgument, "BAD_OPTIONS",
        "threads, queue, message size and streams are at least 1, and the grace period is not negative");
  }
  return absl::OkStatus();
}

// The write end of a pipe: all that a signal handler may touch.
int stop_pipe[2] = {-1, -1};

void OnStopSignal(int) {
  const int saved = errno;
  const char byte = 0;
  static_cast<void>(!write(stop_pipe[1], &byte, 1));
  errno = saved;
}

absl::Status CatchStopSignals() {
  if (stop_pipe[0] < 0 && pipe2(stop_pipe, O_CLOEXEC) != 0) return absl::ErrnoToStatus(errno, "pipe2");
  struct sigaction action {};
  action.sa_handler = OnStopSignal;
  action.sa_flags = SA_RESTART;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  // A peer that closes its connection is an error of a write, not the end of the process.
  signal(SIGPIPE, SIG_IGN);
  return absl::OkStatus();
}

void WaitForStopSignal() {
  char byte;
  while (read(stop_pipe[0], &byte, 1) < 0 && errno == EINTR) {
  }
}

}  // namespace

struct Server::State {
  explicit State(ServerOptions given)
      : options(std::move(given)),
        registry(options.registry != nullptr ? *options.registry : metrics::Registry::Default()),
        executor(std::max(options.threads, 1), std::max(options.max_queued_calls, 1)),
        runtime(executor, options.tls.trust_domain, registry) {}

  internal::HttpResponse Readiness();
  void AddHttpPages();
  absl::Status StartGrpc(const HostPort& address);

  const ServerOptions options;
  metrics::Registry& registry;
  std::vector<std::pair<std::string, std::function<absl::Status()>>> checks;
  std::vector<std::unique_ptr<Service>> services;
  // Outlives gRPC's objects below: the last of them still submit to it.
  Executor executor;
  internal::Runtime runtime;
  std::vector<std::unique_ptr<grpc::Service>> grpc_services;
  std::unique_ptr<grpc::Server> server;
  std::unique_ptr<internal::HttpListener> http;
  int grpc_port = 0;
  int http_port = 0;
  bool drained = false;

  absl::Mutex health_mutex;
  grpc::HealthCheckServiceInterface* health ABSL_GUARDED_BY(health_mutex) = nullptr;  // while it serves
  bool healthy ABSL_GUARDED_BY(health_mutex) = true;
};

internal::HttpResponse Server::State::Readiness() {
  std::string failed;
  if (runtime.draining) absl::StrAppend(&failed, "server: draining\n");
  for (const auto& [name, check] : checks) {
    if (const absl::Status status = check(); !status.ok()) {
      absl::StrAppend(&failed, name, ": ", status.ToString(absl::StatusToStringMode::kWithNoExtraData), "\n");
    }
  }
  internal::HttpResponse response;
  response.code = failed.empty() ? 200 : 503;
  response.body = failed.empty() ? "ready\n" : failed;
  return response;
}

void Server::State::AddHttpPages() {
  http->Get("/healthz", [] { return internal::HttpResponse{.body = "ok\n"}; });
  http->Get("/readyz", [this] { return Readiness(); });
  http->Get("/metrics", [this] {
    return internal::HttpResponse{.content_type = "text/plain; version=0.0.4; charset=utf-8",
                                  .body = registry.Serialize()};
  });
}

absl::Status Server::State::StartGrpc(const HostPort& address) {
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  builder.AddListeningPort(options.listen, internal::ServerTls(options.tls), &grpc_port);
  builder.SetMaxReceiveMessageSize(options.max_message_bytes);
  builder.SetMaxSendMessageSize(options.max_message_bytes);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, options.max_concurrent_streams);
  if (options.stream_window_bytes > 0) {
    builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, options.stream_window_bytes);
  }
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kPingMillis);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kPingTimeoutMillis);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, kMinPingMillis);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  for (const std::unique_ptr<grpc::Service>& service : grpc_services) builder.RegisterService(service.get());
  server = builder.BuildAndStart();
  if (server == nullptr || grpc_port == 0) {
    server = nullptr;
    return Error(absl::StatusCode::kUnavailable, "PORT_UNAVAILABLE",
                 absl::StrCat("cannot listen for gRPC on ", address.host, ":", address.port,
                              "; is the port taken, or the address not this machine's?"));
  }
  return absl::OkStatus();
}

Server::Server(ServerOptions options) : state_(std::make_unique<State>(std::move(options))) {}

Server::~Server() { Drain(); }

void Server::AddService(std::unique_ptr<Service> service) { state_->services.push_back(std::move(service)); }

void Server::AddReadinessCheck(absl::string_view name, std::function<absl::Status()> check) {
  state_->checks.emplace_back(std::string(name), std::move(check));
}

void Server::SetHealthy(bool healthy) {
  absl::MutexLock lock(&state_->health_mutex);
  state_->healthy = healthy;
  if (state_->health != nullptr) state_->health->SetServingStatus(healthy);
}

absl::Status Server::Start() {
  State& state = *state_;
  RETURN_IF_ERROR(CheckOptions(state.options));
  ASSIGN_OR_RETURN(const HostPort listen, ParseHostPort(state.options.listen, "--listen"));
  ASSIGN_OR_RETURN(const HostPort http_listen, ParseHostPort(state.options.http_listen, "--http-listen"));
  ASSIGN_OR_RETURN(const Identity identity, internal::CheckTlsFiles(state.options.tls));
  for (const std::unique_ptr<Service>& service : state.services) {
    RETURN_IF_ERROR(service->Validate());
    state.grpc_services.push_back(
        internal::MakeGrpcService(service->roles(), service->methods_, state.runtime));
  }
  metrics::AddProcessMetrics(state.registry);

  state.http = std::make_unique<internal::HttpListener>();
  state.AddHttpPages();
  RETURN_IF_ERROR(state.StartGrpc(listen));
  if (absl::Status status = state.http->Start(http_listen.host, http_listen.port); !status.ok()) {
    Drain();
    return status;
  }
  state.http_port = state.http->port();
  {
    absl::MutexLock lock(&state.health_mutex);
    state.health = state.server->GetHealthCheckService();
    state.health->SetServingStatus(state.healthy);
  }
  if (!state.options.port_file.empty()) {
    RETURN_IF_ERROR(WriteFileAtomically(state.options.port_file,
                                        absl::StrCat(state.grpc_port, " ", state.http_port, "\n")));
  }
  log::Info("serving", {{"identity", identity.ToString()},
                        {"grpc", absl::StrCat(listen.host, ":", state.grpc_port)},
                        {"http", absl::StrCat(http_listen.host, ":", state.http_port)}});
  return absl::OkStatus();
}

int Server::grpc_port() const { return state_->grpc_port; }
int Server::http_port() const { return state_->http_port; }
Executor& Server::executor() { return state_->executor; }
metrics::Registry& Server::registry() { return state_->registry; }

void Server::Drain() {
  State& state = *state_;
  if (state.server == nullptr || std::exchange(state.drained, true)) return;
  log::Info("draining", {{"grace", state.options.grace}});
  {
    absl::MutexLock lock(&state.health_mutex);
    state.health = nullptr;
  }
  state.server->GetHealthCheckService()->Shutdown();
  state.runtime.draining = true;
  // What begins to wait from now on sees the flag; what waited already is ended here.
  state.runtime.streams.CloseWaiting();
  state.server->Shutdown(absl::ToChronoTime(SystemClock().Now() + state.options.grace));
  state.http.reset();
  log::Info("drained");
}

absl::Status Server::RunUntilSignal() {
  RETURN_IF_ERROR(CatchStopSignals());
  RETURN_IF_ERROR(Start());
  WaitForStopSignal();
  Drain();
  return absl::OkStatus();
}

int ExitCode(const absl::Status& status) {
  if (status.ok()) return 0;
  log::Error("cannot go on", {{"status", status}});
  return 1;
}

}  // namespace countersign::rpc
