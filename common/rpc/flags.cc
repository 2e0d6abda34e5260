#include "common/rpc/flags.h"

#include <CLI/CLI.hpp>
#include <cctype>
#include <functional>
#include <string>

#include "common/log/log.h"

namespace countersign::rpc {
namespace {

// --http-listen is COUNTERSIGN_HTTP_LISTEN.
std::string VariableOf(const std::string& flag) {
  std::string name = "COUNTERSIGN_";
  for (char c : flag.substr(flag.find_first_not_of('-'))) {
    name.push_back(c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c))));
  }
  return name;
}

template <typename T>
CLI::Option* Add(CLI::App& app, const std::string& flag, T& target, const std::string& help) {
  return app.add_option(flag, target, help)->envname(VariableOf(flag))->capture_default_str();
}

}  // namespace

CLI::Option* AddFlag(CLI::App& app, const std::string& flag, std::string& target, const std::string& help) {
  return Add(app, flag, target, help);
}

CLI::Option* AddFlag(CLI::App& app, const std::string& flag, int& target, const std::string& help) {
  return Add(app, flag, target, help);
}

CLI::Option* AddFlag(CLI::App& app, const std::string& flag, bool& target, const std::string& help) {
  return app.add_flag(flag, target, help)->envname(VariableOf(flag));
}

void AddTlsFlags(CLI::App& app, TlsOptions& options) {
  AddFlag(app, "--tls-cert", options.certificate_file, "PEM certificate chain of this process")->required();
  AddFlag(app, "--tls-key", options.key_file, "PEM private key of this process")->required();
  AddFlag(app, "--tls-ca", options.ca_file, "PEM bundle of the CAs that peers are trusted by")->required();
  AddFlag(app, "--trust-domain", options.trust_domain, "Trust domain of all identities, e.g. home.example")
      ->required();
}

void AddServerFlags(CLI::App& app, ServerOptions& options) {
  AddTlsFlags(app, options.tls);
  AddFlag(app, "--listen", options.listen, "gRPC address, host:port; port 0 is any free one");
  AddFlag(app, "--http-listen", options.http_listen,
          "HTTP address of /metrics, /healthz and /readyz, host:port; port 0 is any free one");
  AddFlag(app, "--port-file", options.port_file, "File that gets \"<grpc port> <http port>\" once it serves");
  AddFlag(app, "--threads", options.threads, "Threads that run handlers")->check(CLI::Range(1, 1024));
  const std::string grace = "--grace-seconds";
  app.add_option_function<double>(
         grace, [&options](double seconds) { options.grace = absl::Seconds(seconds); },
         "How long running calls may go on after SIGTERM")
      ->envname(VariableOf(grace))
      ->check(CLI::NonNegativeNumber)
      ->default_str("20");
  const std::string level = "--log-level";
  app.add_option_function<std::string>(
         level, [](const std::string& name) { log::SetLevel(absl::string_view(name)).IgnoreError(); },
         "debug, info, warn or error")
      ->envname(VariableOf(level))
      ->check(CLI::IsMember({"debug", "info", "warn", "error"}))
      ->default_str("info");
}

}  // namespace countersign::rpc
