#include "common/rpc/http_listener.h"

#include <map>
#include <utility>

#include "common/http/server.h"

namespace countersign::rpc::internal {
namespace {

// A scraper, a probe, somebody who looks, and some who hold up a thread for as long as they are let.
http::ServerOptions Bounds() {
  return {.threads = 8, .max_request_bytes = 4096, .max_connection_time = absl::Seconds(2)};
}

}  // namespace

struct HttpListener::State {
  http::Response Respond(const http::Request& request) const {
    const auto found = responders.find(request.path);
    if (found == responders.end()) return {.code = 404, .body = "there is no such page\n"};
    if (request.method == "POST") return {.code = 405, .body = "", .headers = {{"Allow", "GET, HEAD"}}};
    HttpResponse made = found->second();
    return {.code = made.code, .content_type = std::move(made.content_type), .body = std::move(made.body)};
  }

  std::map<std::string, std::function<HttpResponse()>> responders;
  http::Server server{Bounds(), [this](const http::Request& request) { return Respond(request); }};
};

HttpListener::HttpListener() : state_(std::make_unique<State>()) {}
HttpListener::~HttpListener() = default;

void HttpListener::Get(const std::string& path, std::function<HttpResponse()> respond) {
  state_->responders[path] = std::move(respond);
}

absl::Status HttpListener::Start(const std::string& host, int port) {
  const absl::Status status = state_->server.Start(host, port);
  port_ = state_->server.port();
  return status;
}

}  // namespace countersign::rpc::internal
