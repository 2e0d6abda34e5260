// cse_guard: stands before a oneM2M CSE and lets in what its policy accepts.
#include <signal.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/crypto/public_key.h"
#include "common/file/file.h"
#include "common/log/log.h"
#include "common/metrics/metrics.h"
#include "common/rpc/channel.h"
#include "common/rpc/flags.h"
#include "common/rpc/http_listener.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "tools/cse_guard/backend.h"
#include "tools/cse_guard/grants.h"
#include "tools/cse_guard/guard.h"
#include "tools/cse_guard/listener.h"
#include "tools/cse_guard/policy.h"
#include "tools/cse_guard/registry.h"

namespace countersign::cse_guard {
namespace {

struct Flags {
  std::string listen = "127.0.0.1:0";
  std::string http_listen = "127.0.0.1:0";
  bool plain = false;
  Listener::Tls tls;
  Backend::Options cse;
  std::string policy;
  std::string registry_address;
  std::string answer_key;
  std::string state_dir;
  std::string log_level;
  rpc::TlsOptions registry_tls;
};

absl::StatusOr<std::pair<std::string, int>> HostAndPort(const std::string& address) {
  const std::pair<std::string, std::string> parts = absl::StrSplit(address, absl::MaxSplits(':', 1));
  int port;
  if (!absl::SimpleAtoi(parts.second, &port) || port < 0 || port > 65535) {
    return Error(absl::StatusCode::kInvalidArgument, "ADDRESS_INVALID",
                 absl::StrCat("\"", address, "\" is not host:port"));
  }
  return std::pair<std::string, int>(parts.first, port);
}

absl::Status Run(const Flags& flags, const sigset_t& signals) {
  absl::StatusOr<std::string> policy_text = ReadFile(flags.policy);
  if (!policy_text.ok()) return Annotate(policy_text.status(), "--policy");
  absl::StatusOr<Policy> policy = Policy::Parse(*policy_text);
  if (!policy.ok()) return Annotate(policy.status(), absl::StrCat("--policy ", flags.policy));
  absl::StatusOr<std::string> key_text = ReadFile(flags.answer_key);
  if (!key_text.ok()) return Annotate(key_text.status(), "--answer-key");
  absl::StatusOr<crypto::PublicKey> answer_key = crypto::PublicKey::FromPem(*key_text);
  if (!answer_key.ok()) return Annotate(answer_key.status(), "--answer-key");
  absl::StatusOr<Backend> cse = Backend::Make(flags.cse);
  if (!cse.ok()) return Annotate(cse.status(), "--cse");

  const rpc::Dialer dialer(flags.registry_tls);
  ASSIGN_OR_RETURN(const std::unique_ptr<Registry> registry,
                   Registry::Open(dialer, {.address = flags.registry_address,
                                           .answer_key = *std::move(answer_key),
                                           .folder = absl::StrCat(flags.state_dir, "/answers")}));
  ASSIGN_OR_RETURN(const std::unique_ptr<Admissions> admissions,
                   Admissions::Open(absl::StrCat(flags.state_dir, "/admissions")));
  metrics::Registry& metrics = metrics::Registry::Default();
  metrics::AddProcessMetrics(metrics);
  Guard guard({*policy, *registry, *admissions, *cse, metrics});
  Listener::Options options{.address = flags.listen};
  if (!flags.plain) options.tls = flags.tls;
  Listener listener(options, [&guard](const HttpRequest& request, const Peer& peer) {
    return guard.Handle(request, peer);
  });
  RETURN_IF_ERROR(listener.Start());

  rpc::internal::HttpListener http;
  http.Get("/metrics", [&metrics] {
    return rpc::internal::HttpResponse{200, "text/plain; version=0.0.4; charset=utf-8", metrics.Serialize()};
  });
  for (const char* path : {"/healthz", "/readyz"}) {
    http.Get(path, [] { return rpc::internal::HttpResponse{.body = "ok\n"}; });
  }
  ASSIGN_OR_RETURN(const auto http_address, HostAndPort(flags.http_listen));
  RETURN_IF_ERROR(http.Start(http_address.first, http_address.second));
  log::Info("serving", {{"port", listener.port()}, {"http_port", http.port()}, {"cse", flags.cse.url}});
  int signal = 0;
  sigwait(&signals, &signal);
  log::Info("draining");
  return absl::OkStatus();
}

}  // namespace
}  // namespace countersign::cse_guard

int main(int argc, char** argv) {
  using namespace countersign;
  CLI::App app(
      "Stands before a oneM2M CSE's HTTP binding and lets in the applications that its policy accepts.",
      "cse_guard");
  cse_guard::Flags flags;
  rpc::AddFlag(app, "--listen", flags.listen, "host:port for applications; port 0 is any");
  rpc::AddFlag(app, "--http-listen", flags.http_listen, "host:port of /metrics, /healthz and /readyz");
  rpc::AddFlag(app, "--server-cert", flags.tls.certificate_file, "PEM chain that applications are shown");
  rpc::AddFlag(app, "--server-key", flags.tls.key_file, "PEM key of it");
  rpc::AddFlag(app, "--client-ca", flags.tls.client_ca_file,
               "PEM bundle of the applications' roots of trust");
  rpc::AddFlag(app, "--plain", flags.plain, "Serve without TLS: no application can prove who it is");
  rpc::AddFlag(app, "--cse", flags.cse.url, "The CSE, e.g. http://127.0.0.1:8080")->required();
  rpc::AddFlag(app, "--cse-ca", flags.cse.ca_file, "PEM bundle for a CSE with https; the system's otherwise");
  rpc::AddFlag(app, "--policy", flags.policy, "What is accepted: JSON with comments, see policy.example.json")
      ->required();
  rpc::AddFlag(app, "--registry-address", flags.registry_address, "host:port of the App-ID registry")
      ->required();
  rpc::AddFlag(app, "--answer-key", flags.answer_key, "PEM public key that verifies the registry's answers")
      ->required();
  rpc::AddFlag(app, "--state-dir", flags.state_dir, "Folder of kept answers and of who was let in")
      ->required();
  rpc::AddFlag(app, "--log-level", flags.log_level, "debug, info, warn or error");
  rpc::AddTlsFlags(app, flags.registry_tls);
  CLI11_PARSE(app, argc, argv);
  if (!flags.log_level.empty()) {
    if (const absl::Status status = log::SetLevel(flags.log_level); !status.ok()) {
      std::cerr << "cse_guard: --log-level: " << status.message() << "\n";
      return 2;
    }
  }
  if (!flags.plain && (flags.tls.certificate_file.empty() || flags.tls.key_file.empty() ||
                       flags.tls.client_ca_file.empty())) {
    std::cerr << "cse_guard: --server-cert, --server-key and --client-ca are required, unless --plain\n";
    return 2;
  }
  // Before any thread is there, so that they all leave the signals to this one.
  sigset_t signals;
  sigemptyset(&signals);
  for (int signal : {SIGTERM, SIGINT}) sigaddset(&signals, signal);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  if (const absl::Status status = cse_guard::Run(flags, signals); !status.ok()) {
    log::Error("cse_guard does not start", {{"status", status}, {"reason", ReasonOf(status)}});
    return 1;
  }
  return 0;
}
