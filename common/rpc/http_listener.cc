#include "common/rpc/http_listener.h"

#include <sys/socket.h>

#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/errors.h"
#include "httplib.h"

namespace countersign::rpc::internal {
namespace {

// A scraper, a probe, and somebody who looks.
constexpr size_t kThreads = 3;
constexpr size_t kMaxRequestBytes = 4096;
constexpr int kReadTimeoutSeconds = 5;

}  // namespace

struct HttpListener::State {
  httplib::Server server;
  std::thread thread;
};

HttpListener::HttpListener() : state_(std::make_unique<State>()) {
  httplib::Server& server = state_->server;
  server.new_task_queue = [] { return new httplib::ThreadPool(kThreads); };
  server.set_payload_max_length(kMaxRequestBytes);
  server.set_read_timeout(kReadTimeoutSeconds);
  // A kept connection keeps one of few threads: each request has a connection of its own.
  server.set_keep_alive_max_count(1);
  // Without httplib's SO_REUSEPORT: a port that another process has is refused and not shared with it.
  server.set_socket_options([](socket_t socket) {
    const int yes = 1;
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  });
}

HttpListener::~HttpListener() {
  state_->server.stop();
  if (state_->thread.joinable()) state_->thread.join();
}

void HttpListener::Get(const std::string& path, std::function<HttpResponse()> respond) {
  state_->server.Get(path,
                     [respond = std::move(respond)](const httplib::Request&, httplib::Response& response) {
                       HttpResponse made = respond();
                       response.status = made.code;
                       response.set_content(std::move(made.body), made.content_type.c_str());
                     });
}

absl::Status HttpListener::Start(const std::string& host, int port) {
  httplib::Server& server = state_->server;
  if (port == 0) {
    port_ = server.bind_to_any_port(host);
  } else {
    port_ = server.bind_to_port(host, port) ? port : -1;
  }
  if (port_ <= 0) {
    return Error(absl::StatusCode::kUnavailable, "PORT_UNAVAILABLE",
                 absl::StrCat("cannot listen for HTTP on ", host, ":", port,
                              "; is the port taken, or the address not this machine's?"));
  }
  // The socket listens already: who connects before the thread runs is served when it does.
  state_->thread = std::thread([&server] { server.listen_after_bind(); });
  // stop() is lost on a server that does not run yet, and the thread would never end.
  while (!server.is_running()) std::this_thread::yield();
  return absl::OkStatus();
}

}  // namespace countersign::rpc::internal
