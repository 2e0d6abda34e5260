#include "common/rpc/http_listener.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/errors.h"
#include "httplib.h"

namespace countersign::rpc::internal {
namespace {

using std::chrono::steady_clock;

// A scraper, a probe, somebody who looks, and some who hold up a thread for as long as they are let.
constexpr size_t kThreads = 8;
constexpr size_t kMaxRequestBytes = 4096;
// From the connection to the last byte of the answer. httplib's own timeouts are of each read and write,
// which somebody who sends a byte now and then never meets.
constexpr std::chrono::seconds kMaxConnectionTime(2);

// A connection that ends at its time, and takes no longer request than anyone has a use for.
class BoundedStream : public httplib::Stream {
 public:
  explicit BoundedStream(socket_t socket) : socket_(socket), end_(steady_clock::now() + kMaxConnectionTime) {}

  bool is_readable() const override { return unread_ > 0 && Await(POLLIN); }
  bool is_writable() const override { return Await(POLLOUT); }

  ssize_t read(char* data, size_t size) override {
    if (!is_readable()) return -1;
    const ssize_t count = recv(socket_, data, std::min(size, unread_), 0);
    if (count > 0) unread_ -= count;
    return count;
  }

  ssize_t write(const char* data, size_t size) override {
    // All of it: httplib does not ask again for what is left of a header.
    for (size_t sent = 0; sent < size;) {
      if (!is_writable()) return -1;
      const ssize_t count = send(socket_, data + sent, size - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (count < 0 && errno != EAGAIN) return -1;
      sent += std::max<ssize_t>(count, 0);
    }
    return size;
  }

  // Nothing here asks who it is.
  void get_remote_ip_and_port(std::string&, int&) const override {}
  void get_local_ip_and_port(std::string&, int&) const override {}
  socket_t socket() const override { return socket_; }

 private:
  bool Await(short what) const {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end_ - steady_clock::now());
    pollfd waiting{socket_, what, 0};
    return left.count() > 0 && poll(&waiting, 1, static_cast<int>(left.count())) == 1;
  }

  const socket_t socket_;
  const steady_clock::time_point end_;
  size_t unread_ = kMaxRequestBytes;
};

class BoundedServer : public httplib::Server {
 private:
  bool process_and_close_socket(socket_t socket) override {
    BoundedStream stream(socket);
    bool closed = false;
    // A kept connection keeps one of few threads: each request has a connection of its own.
    const bool answered = process_request(stream, /*close_connection=*/true, closed, nullptr);
    shutdown(socket, SHUT_RDWR);
    close(socket);
    return answered;
  }
};

}  // namespace

struct HttpListener::State {
  BoundedServer server;
  std::thread thread;
};

HttpListener::HttpListener() : state_(std::make_unique<State>()) {
  httplib::Server& server = state_->server;
  server.new_task_queue = [] { return new httplib::ThreadPool(kThreads); };
  server.set_payload_max_length(kMaxRequestBytes);
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
