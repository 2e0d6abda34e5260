#include "common/http/server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "httplib.h"

namespace countersign::http {
namespace {

using std::chrono::steady_clock;

constexpr size_t kMaxPathBytes = 256;
constexpr size_t kMaxDrainedBytes = 128 << 10;
constexpr int kDrainMilliseconds = 100;

struct SslFree {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
using SslPtr = std::unique_ptr<SSL, SslFree>;
using SslContextPtr = std::unique_ptr<SSL_CTX, SslFree>;

// A connection that ends at its time, and takes no longer request than anyone has a use for. httplib's own
// timeouts are of each read and write, which somebody who sends a byte now and then never meets.
class BoundedStream : public httplib::Stream {
 public:
  BoundedStream(socket_t socket, const ServerOptions& options)
      : socket_(socket),
        request_end_(steady_clock::now() + absl::ToChronoMilliseconds(options.max_request_time)),
        end_(steady_clock::now() + absl::ToChronoMilliseconds(options.max_connection_time)),
        unread_(options.max_request_bytes) {}

  // Speaks TLS from here on. False if the other side does not.
  bool Secure(SSL_CTX* context) {
    // Otherwise a read waits for as long as the other side likes.
    if (fcntl(socket_, F_SETFL, fcntl(socket_, F_GETFL) | O_NONBLOCK) != 0) return false;
    ssl_.reset(SSL_new(context));
    if (ssl_ == nullptr || SSL_set_fd(ssl_.get(), socket_) != 1) return false;
    return Repeat([this] { return SSL_accept(ssl_.get()); }) == 1;
  }

  bool is_readable() const override {
    if (unread_ == 0) return false;
    return (ssl_ != nullptr && SSL_pending(ssl_.get()) > 0) || Await(POLLIN);
  }
  bool is_writable() const override { return Await(POLLOUT); }

  ssize_t read(char* data, size_t size) override {
    if (unread_ == 0) return -1;
    const size_t wanted = std::min(size, unread_);
    ssize_t count;
    if (ssl_ != nullptr) {
      count = Repeat([&] { return SSL_read(ssl_.get(), data, static_cast<int>(wanted)); });
    } else {
      if (!Await(POLLIN)) return -1;
      count = recv(socket_, data, wanted, 0);
    }
    if (count > 0) unread_ -= count;
    return count;
  }

  ssize_t write(const char* data, size_t size) override {
    // All of it: httplib does not ask again for what is left of a header.
    for (size_t sent = 0; sent < size;) {
      ssize_t count;
      if (ssl_ != nullptr) {
        count = Repeat([&] {
          return SSL_write(ssl_.get(), data + sent, static_cast<int>(std::min<size_t>(size - sent, 1 << 20)));
        });
        if (count <= 0) return -1;
      } else {
        if (!is_writable()) return -1;
        count = send(socket_, data + sent, size - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (count < 0 && errno != EAGAIN) return -1;
      }
      sent += std::max<ssize_t>(count, 0);
    }
    return size;
  }

  void Close() {
    if (ssl_ != nullptr) SSL_shutdown(ssl_.get());
    shutdown(socket_, SHUT_WR);
    // Closed while the other side still sends, the connection is reset, and the answer lost with it.
    char nowhere[4096];
    pollfd waiting{socket_, POLLIN, 0};
    for (size_t left = kMaxDrainedBytes; left > 0 && poll(&waiting, 1, kDrainMilliseconds) == 1;) {
      const ssize_t count = recv(socket_, nowhere, std::min(left, sizeof(nowhere)), MSG_DONTWAIT);
      if (count <= 0) break;
      left -= count;
    }
    ssl_.reset();
    close(socket_);
  }

  // Nothing here asks who it is.
  void get_remote_ip_and_port(std::string&, int&) const override {}
  void get_local_ip_and_port(std::string&, int&) const override {}
  socket_t socket() const override { return socket_; }

 private:
  bool Await(short what) const {
    const steady_clock::time_point end = what == POLLIN ? std::min(request_end_, end_) : end_;
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - steady_clock::now());
    pollfd waiting{socket_, what, 0};
    return left.count() > 0 && poll(&waiting, 1, static_cast<int>(left.count())) == 1;
  }

  // An operation of OpenSSL on a socket that does not block, until it is done, fails, or its time is over.
  template <typename Operation>
  int Repeat(Operation operation) {
    while (true) {
      ERR_clear_error();
      const int result = operation();
      if (result > 0) return result;
      const int error = SSL_get_error(ssl_.get(), result);
      const bool again = (error == SSL_ERROR_WANT_READ && Await(POLLIN)) ||
                         (error == SSL_ERROR_WANT_WRITE && Await(POLLOUT));
      if (!again) return -1;
    }
  }

  const socket_t socket_;
  const steady_clock::time_point request_end_;
  const steady_clock::time_point end_;
  size_t unread_;
  SslPtr ssl_;
};

// How many threads each address has.
class Addresses {
 public:
  // Counts one more for whoever is at the other end of `socket`, if they may have it.
  bool Enter(const std::string& address, size_t max) {
    std::lock_guard lock(mutex_);
    size_t& threads = threads_[address];
    if (max > 0 && threads >= max) return false;
    ++threads;
    return true;
  }
  void Leave(const std::string& address) {
    std::lock_guard lock(mutex_);
    if (--threads_[address] == 0) threads_.erase(address);
  }

  // "" for one that is gone already.
  static std::string Of(socket_t socket) {
    sockaddr_storage peer = {};
    socklen_t size = sizeof(peer);
    char text[INET6_ADDRSTRLEN] = "";
    if (getpeername(socket, reinterpret_cast<sockaddr*>(&peer), &size) != 0) return "";
    if (peer.ss_family == AF_INET) {
      inet_ntop(AF_INET, &reinterpret_cast<sockaddr_in&>(peer).sin_addr, text, sizeof(text));
    } else if (peer.ss_family == AF_INET6) {
      inet_ntop(AF_INET6, &reinterpret_cast<sockaddr_in6&>(peer).sin6_addr, text, sizeof(text));
    }
    return text;
  }

 private:
  std::mutex mutex_;
  std::map<std::string, size_t> threads_;
};

class BoundedServer : public httplib::Server {
 public:
  explicit BoundedServer(const ServerOptions& options) : options_(options) {}
  SslContextPtr tls;

 private:
  bool process_and_close_socket(socket_t socket) override {
    const std::string address = Addresses::Of(socket);
    if (!addresses_.Enter(address, options_.max_threads_per_address)) {
      close(socket);
      return false;
    }
    BoundedStream stream(socket, options_);
    bool closed = false;
    // A kept connection keeps one of few threads: each request has a connection of its own.
    const bool answered = (tls == nullptr || stream.Secure(tls.get())) &&
                          process_request(stream, /*close_connection=*/true, closed, nullptr);
    stream.Close();
    addresses_.Leave(address);
    return answered;
  }

  const ServerOptions& options_;
  Addresses addresses_;
};

// Threads, and a queue before them that is never longer than it may be: whoever comes then waits in the
// kernel's.
class BoundedQueue : public httplib::TaskQueue {
 public:
  BoundedQueue(size_t threads, size_t max_waiting) : max_waiting_(max_waiting) {
    for (size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { Work(); });
  }

  void enqueue(std::function<void()> task) override {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return tasks_.size() < max_waiting_ || ended_; });
    tasks_.push_back(std::move(task));
    changed_.notify_all();
  }

  void shutdown() override {
    {
      std::lock_guard lock(mutex_);
      ended_ = true;
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

 private:
  void Work() {
    while (true) {
      std::function<void()> task;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return !tasks_.empty() || ended_; });
        if (tasks_.empty()) return;
        task = std::move(tasks_.front());
        tasks_.pop_front();
      }
      changed_.notify_all();
      task();
    }
  }

  const size_t max_waiting_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;
  bool ended_ = false;
  std::vector<std::thread> threads_;
};

Request FromHttplib(const httplib::Request& from) {
  Request request;
  request.method = from.method;
  request.path = from.path;
  // httplib mixes what stands in the address with what stands in the body: a form is only what stands in the
  // body.
  const bool is_form =
      absl::StartsWithIgnoreCase(from.get_header_value("Content-Type"), "application/x-www-form-urlencoded");
  if (const size_t mark = from.target.find('?'); mark != std::string::npos) {
    httplib::Params query;
    httplib::detail::parse_query_text(from.target.substr(mark + 1), query);
    request.query.insert(query.begin(), query.end());
  }
  if (is_form) {
    httplib::Params form;
    httplib::detail::parse_query_text(from.body, form);
    request.form.insert(form.begin(), form.end());
  }
  for (const auto& [name, value] : from.headers) {
    const std::string lower = absl::AsciiStrToLower(name);
    request.headers.emplace(lower, value);
    ++request.header_counts[lower];
  }
  return request;
}

absl::Status TlsUnusable(absl::string_view what) {
  char error[256] = "";
  ERR_error_string_n(ERR_get_error(), error, sizeof(error));
  ERR_clear_error();
  return Error(absl::StatusCode::kInvalidArgument, "TLS_UNUSABLE", absl::StrCat(what, ": ", error));
}

absl::StatusOr<SslContextPtr> MakeTls(const std::string& certificate, const std::string& key) {
  SslContextPtr context(SSL_CTX_new(TLS_server_method()));
  if (context == nullptr) return TlsUnusable("no TLS");
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_options(context.get(),
                      SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  if (SSL_CTX_use_certificate_chain_file(context.get(), certificate.c_str()) != 1) {
    return TlsUnusable(absl::StrCat("cannot use the certificate ", certificate));
  }
  if (SSL_CTX_use_PrivateKey_file(context.get(), key.c_str(), SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_check_private_key(context.get()) != 1) {
    return TlsUnusable(absl::StrCat("cannot use the key ", key));
  }
  return context;
}

std::string First(const std::multimap<std::string, std::string>& values, const std::string& name) {
  const auto found = values.find(name);
  return found == values.end() ? "" : found->second;
}

}  // namespace

std::string Request::Query(const std::string& name) const { return First(query, name); }
std::string Request::Form(const std::string& name) const { return First(form, name); }
std::string Request::Header(const std::string& name) const {
  const auto found = headers.find(name);
  return found == headers.end() ? "" : found->second;
}

struct Server::State {
  explicit State(ServerOptions options_in) : options(std::move(options_in)), server(options) {}
  const ServerOptions options;
  BoundedServer server;
  std::thread thread;
};

Server::Server(ServerOptions options, std::function<Response(const Request&)> respond)
    : state_(std::make_unique<State>(std::move(options))) {
  httplib::Server& server = state_->server;
  const ServerOptions& bounds = state_->options;
  server.new_task_queue = [&bounds] { return new BoundedQueue(bounds.threads, bounds.max_waiting); };
  server.set_payload_max_length(bounds.max_request_bytes);
  server.set_tcp_nodelay(true);
  // Without httplib's SO_REUSEPORT: a port that another process has is refused and not shared with it.
  server.set_socket_options([](socket_t socket) {
    const int yes = 1;
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  });
  const auto answer = [respond = std::move(respond)](const httplib::Request& from, httplib::Response& to) {
    Response made = respond(FromHttplib(from));
    to.status = made.code;
    for (const auto& [name, value] : made.headers) to.set_header(name, value);
    to.set_content(std::move(made.body), made.content_type.c_str());
  };
  // Before httplib's own routes, whose regular expressions need a stack as deep as a path is long. What has a
  // body is routed after it was read.
  server.set_pre_routing_handler([answer](const httplib::Request& from, httplib::Response& to) {
    if (from.path.size() > kMaxPathBytes) {
      to.status = 414;
      return httplib::Server::HandlerResponse::Handled;
    }
    if (from.method == "POST") return httplib::Server::HandlerResponse::Unhandled;
    if (from.method == "GET" || from.method == "HEAD") {
      answer(from, to);
    } else {
      to.status = 405;
      to.set_header("Allow", "GET, HEAD, POST");
    }
    return httplib::Server::HandlerResponse::Handled;
  });
  server.Post("/.*", answer);
}

Server::~Server() {
  state_->server.stop();
  if (state_->thread.joinable()) state_->thread.join();
}

absl::Status Server::Start(const std::string& host, int port) {
  BoundedServer& server = state_->server;
  const ServerOptions& options = state_->options;
  if (!options.tls_certificate.empty() || !options.tls_key.empty()) {
    ASSIGN_OR_RETURN(server.tls, MakeTls(options.tls_certificate, options.tls_key));
  }
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

}  // namespace countersign::http
