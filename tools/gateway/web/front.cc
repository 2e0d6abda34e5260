#include "tools/gateway/web/front.h"

#include <arpa/inet.h>

#include <CLI/CLI.hpp>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/http/server.h"
#include "common/log/log.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "tools/gateway/web/acts.h"
#include "tools/gateway/web/principals.h"
#include "tools/gateway/web/site.h"
#include "tools/gateway/web/watch.h"

namespace countersign::gateway {
namespace {

// A form of a decision is below a kilobyte; a browser's headers are the most of it.
constexpr size_t kMaxRequestBytes = 16 << 10;
constexpr size_t kThreads = 16;
constexpr size_t kThreadsPerAddress = 8;
// Longer than Site waits for the services.
constexpr absl::Duration kMaxConnectionTime = absl::Seconds(10);

bool IsLoopback(const std::string& host) { return absl::StartsWith(host, "127.") || host == "::1"; }

}  // namespace

void AddFrontFlags(CLI::App& run, FrontOptions& options) {
  run.add_option("--web", options.listen,
                 "address:port of the page for users, e.g. 127.0.0.1:8443; none without it");
  run.add_option("--web-cert", options.certificate, "PEM file with the certificate of the page");
  run.add_option("--web-key", options.key, "PEM file with the key of that certificate");
  run.add_option("--web-name", options.names, "name by which browsers call this machine; may be repeated");
  run.add_flag(
      "--web-plain", options.plain,
      "serve the page without TLS, also on an address that others reach: something before it does TLS");
}

std::string PrincipalsPath(const std::string& folder) { return absl::StrCat(folder, "/principals.json"); }

struct Front::Parts {
  Parts(ServiceChannels channels, const std::string& folder)
      : services(std::move(channels)), principals(PrincipalsPath(folder)) {}

  Services services;
  Principals principals;
  std::unique_ptr<Acts> acts;
  std::unique_ptr<HomeWatch> watch;
  std::unique_ptr<Site> site;
  std::unique_ptr<http::Server> server;  // ends first
};

Front::Front() = default;
Front::~Front() = default;

absl::StatusOr<std::unique_ptr<Front>> Front::Start(const FrontOptions& options,
                                                    const std::string& gateway_id, const std::string& folder,
                                                    ServiceChannels channels, Desk* desk) {
  const size_t colon = options.listen.rfind(':');
  std::string host = options.listen.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  int port = 0;
  unsigned char address[sizeof(in6_addr)];
  if (colon == std::string::npos || !absl::SimpleAtoi(options.listen.substr(colon + 1), &port) || port < 1 ||
      port > 65535 ||
      (inet_pton(AF_INET, host.c_str(), address) != 1 && inet_pton(AF_INET6, host.c_str(), address) != 1)) {
    return Error(absl::StatusCode::kInvalidArgument, "WEB_ADDRESS_INVALID",
                 absl::StrCat("--web ", options.listen, ": give an address and a port, e.g. 127.0.0.1:8443"));
  }
  const bool tls = !options.certificate.empty() || !options.key.empty();
  if (!tls && !options.plain && !IsLoopback(host)) {
    return Error(
        absl::StatusCode::kFailedPrecondition, "TLS_MISSING",
        absl::StrCat("on ", host,
                     " PINs would go over the network in the clear: give --web-cert and --web-key, or "
                     "--web-plain when something before the page does TLS"));
  }
  std::unique_ptr<Front> front(new Front);
  front->parts_ = std::make_unique<Parts>(std::move(channels), folder);
  Parts& parts = *front->parts_;
  ASSIGN_OR_RETURN(parts.acts, Acts::Open(absl::StrCat(folder, "/answers.json")));
  parts.watch = std::make_unique<HomeWatch>(gateway_id, &parts.services, parts.acts.get(), desk);
  SiteOptions site = {.tls = tls, .port = port, .names = {}, .zone = absl::LocalTimeZone()};
  for (const std::string& name : options.names) site.names.push_back(absl::AsciiStrToLower(name));
  parts.site = std::make_unique<Site>(std::move(site), parts.watch.get(), &parts.principals);
  parts.server = std::make_unique<http::Server>(
      http::ServerOptions{.threads = kThreads,
                          .max_request_bytes = kMaxRequestBytes,
                          .max_connection_time = kMaxConnectionTime,
                          .max_threads_per_address = kThreadsPerAddress,
                          .tls_certificate = options.certificate,
                          .tls_key = options.key},
      [site = parts.site.get()](const http::Request& request) { return site->Respond(request); });
  RETURN_IF_ERROR(parts.server->Start(host, port));
  log::Info("serving the page", {{"address", options.listen}, {"tls", tls}});
  return front;
}

}  // namespace countersign::gateway
