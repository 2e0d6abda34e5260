#include "tools/cse_guard/listener.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/synchronization/mutex.h"
#include "common/crypto/openssl.h"
#include "common/log/log.h"
#include "common/status/errors.h"
#include "common/status/macros.h"

namespace countersign::cse_guard {
namespace {

using std::chrono::steady_clock;

constexpr int kBacklog = 128;
constexpr int kPollMilliseconds = 200;

struct FreeTls {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  void operator()(SSL* ssl) const { SSL_free(ssl); }
};
using Context = std::shared_ptr<SSL_CTX>;

absl::Status BadFile(const std::string& file) {
  return Error(absl::StatusCode::kInvalidArgument, "BAD_TLS_FILES",
               absl::StrCat(file, " cannot be used: ", crypto::TakeOpenSslErrors()));
}

absl::StatusOr<Context> MakeContext(const Listener::Tls& tls) {
  Context context(SSL_CTX_new(TLS_server_method()), FreeTls());
  SSL_CTX* const c = context.get();
  SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION);
  SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION);
  // A session that is resumed does not show the chain again, which each registration is asked about.
  SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(c, 0);
  if (SSL_CTX_use_certificate_chain_file(c, tls.certificate_file.c_str()) != 1)
    return BadFile(tls.certificate_file);
  if (SSL_CTX_use_PrivateKey_file(c, tls.key_file.c_str(), SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_check_private_key(c) != 1) {
    return BadFile(tls.key_file);
  }
  if (SSL_CTX_load_verify_locations(c, tls.client_ca_file.c_str(), nullptr) != 1)
    return BadFile(tls.client_ca_file);
  STACK_OF(X509_NAME)* const names = SSL_load_client_CA_file(tls.client_ca_file.c_str());
  if (names == nullptr) return BadFile(tls.client_ca_file);
  SSL_CTX_set_client_CA_list(c, names);
  // Who shows none is let through to where the policy decides; one that is not what it should be is refused.
  SSL_CTX_set_verify(c, SSL_VERIFY_PEER, nullptr);
  return context;
}

// When the files changed last.
std::vector<int64_t> Stamps(const Listener::Tls& tls) {
  std::vector<int64_t> stamps;
  for (const std::string* file : {&tls.certificate_file, &tls.key_file, &tls.client_ca_file}) {
    struct stat about {};
    stat(file->c_str(), &about);
    stamps.push_back(about.st_mtim.tv_sec * 1'000'000'000 + about.st_mtim.tv_nsec);
    stamps.push_back(static_cast<int64_t>(about.st_ino));
  }
  return stamps;
}

// A connection: bytes in and out, each within a deadline.
class Connection {
 public:
  Connection(int socket, SSL_CTX* context) : socket_(socket) {
    if (context == nullptr) return;
    ssl_.reset(SSL_new(context));
    SSL_set_fd(ssl_.get(), socket);
  }

  bool Handshake(steady_clock::time_point deadline) {
    if (ssl_ == nullptr) return true;
    return Try(deadline, [&] { return SSL_accept(ssl_.get()); }) == 1;
  }

  Peer PeerOf() const {
    Peer peer;
    if (ssl_ == nullptr || SSL_get0_peer_certificate(ssl_.get()) == nullptr ||
        SSL_get_verify_result(ssl_.get()) != X509_V_OK) {
      return peer;
    }
    STACK_OF(X509)* const chain = SSL_get0_verified_chain(ssl_.get());
    for (int i = 0; i < sk_X509_num(chain); ++i) {
      unsigned char* der = nullptr;
      const int length = i2d_X509(sk_X509_value(chain, i), &der);
      if (length <= 0) return {};
      peer.certificates.emplace_back(reinterpret_cast<char*>(der), static_cast<size_t>(length));
      OPENSSL_free(der);
    }
    return peer;
  }

  // Appends what is there; false at the end, or when nothing comes in time.
  bool ReadSome(std::string& buffer, steady_clock::time_point deadline) {
    char bytes[16384];
    int count;
    if (ssl_ != nullptr) {
      count = Try(deadline, [&] { return SSL_read(ssl_.get(), bytes, sizeof(bytes)); });
    } else {
      if (!Await(POLLIN, deadline)) return false;
      count = static_cast<int>(recv(socket_, bytes, sizeof(bytes), 0));
    }
    if (count <= 0) return false;
    buffer.append(bytes, static_cast<size_t>(count));
    return true;
  }

  bool Write(absl::string_view bytes, steady_clock::time_point deadline) {
    while (!bytes.empty()) {
      const size_t piece = std::min<size_t>(bytes.size(), 1 << 20);
      int count;
      if (ssl_ != nullptr) {
        count = Try(deadline, [&] { return SSL_write(ssl_.get(), bytes.data(), static_cast<int>(piece)); });
      } else {
        if (!Await(POLLOUT, deadline)) return false;
        count = static_cast<int>(send(socket_, bytes.data(), piece, MSG_NOSIGNAL));
      }
      if (count <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(count));
    }
    return true;
  }

  void SayGoodbye() {
    if (ssl_ != nullptr) SSL_shutdown(ssl_.get());
  }

 private:
  bool Await(short what, steady_clock::time_point deadline) const {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - steady_clock::now());
    pollfd waiting{socket_, what, 0};
    return left.count() > 0 && poll(&waiting, 1, static_cast<int>(left.count())) == 1;
  }

  // The socket does not block, so that a peer that stops within a record stops nobody.
  template <typename Operation>
  int Try(steady_clock::time_point deadline, const Operation& operation) {
    while (true) {
      ERR_clear_error();
      const int count = operation();
      if (count > 0) return count;
      const int error = SSL_get_error(ssl_.get(), count);
      if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) return -1;
      if (!Await(error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, deadline)) return -1;
    }
  }

  const int socket_;
  std::unique_ptr<SSL, FreeTls> ssl_;
};

std::chrono::nanoseconds ToChrono(absl::Duration duration) {
  return std::chrono::nanoseconds(absl::ToInt64Nanoseconds(duration));
}

HttpResponse Plain(int status, absl::string_view what) {
  return {status, {{"Content-Type", "text/plain; charset=utf-8"}}, absl::StrCat(what, "\n")};
}

}  // namespace

struct Listener::State {
  State(Options listener_options, Handler its_handler)
      : options(std::move(listener_options)), handler(std::move(its_handler)) {}

  absl::Status Listen();
  void Accept();
  void Serve(int socket);
  // One request and its answer; false when the connection is over.
  bool ServeOne(Connection& connection, const Peer& peer, std::string& buffer);
  Context CurrentContext();

  const Options options;
  const Handler handler;
  int socket = -1;
  int port = 0;
  std::thread thread;

  absl::Mutex mutex;
  bool stopping ABSL_GUARDED_BY(mutex) = false;
  int connections ABSL_GUARDED_BY(mutex) = 0;
  Context context ABSL_GUARDED_BY(mutex);
  std::vector<int64_t> stamps ABSL_GUARDED_BY(mutex);
  steady_clock::time_point looked_at ABSL_GUARDED_BY(mutex);

  bool Stopping() {
    absl::MutexLock lock(&mutex);
    return stopping;
  }
};

Listener::Listener(Options options, Handler handler)
    : state_(std::make_unique<State>(std::move(options), std::move(handler))) {}

Listener::~Listener() {
  {
    absl::MutexLock lock(&state_->mutex);
    state_->stopping = true;
  }
  if (state_->thread.joinable()) state_->thread.join();
  if (state_->socket >= 0) close(state_->socket);
  const auto none = [this]()
                        ABSL_EXCLUSIVE_LOCKS_REQUIRED(state_->mutex) { return state_->connections == 0; };
  absl::MutexLock lock(&state_->mutex);
  state_->mutex.Await(absl::Condition(&none));
}

int Listener::port() const { return state_->port; }

absl::Status Listener::Start() {
  // OpenSSL writes to sockets that may be gone.
  signal(SIGPIPE, SIG_IGN);
  if (state_->options.tls.has_value()) {
    absl::MutexLock lock(&state_->mutex);
    state_->stamps = Stamps(*state_->options.tls);
    ASSIGN_OR_RETURN(state_->context, MakeContext(*state_->options.tls));
    state_->looked_at = steady_clock::now();
  }
  RETURN_IF_ERROR(state_->Listen());
  state_->thread = std::thread([this] { state_->Accept(); });
  return absl::OkStatus();
}

absl::Status Listener::State::Listen() {
  const absl::Status refused =
      Error(absl::StatusCode::kUnavailable, "PORT_UNAVAILABLE",
            absl::StrCat("cannot listen at ", options.address, ": is it host:port, and free?"));
  const std::pair<std::string, std::string> parts = absl::StrSplit(options.address, absl::MaxSplits(':', 1));
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (getaddrinfo(parts.first.c_str(), parts.second.c_str(), &hints, &found) != 0) return refused;
  socket = ::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const int yes = 1;
  setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  const bool listens =
      socket >= 0 && bind(socket, found->ai_addr, found->ai_addrlen) == 0 && listen(socket, kBacklog) == 0;
  freeaddrinfo(found);
  if (!listens) return refused;
  sockaddr_storage bound{};
  socklen_t size = sizeof(bound);
  getsockname(socket, reinterpret_cast<sockaddr*>(&bound), &size);
  port = ntohs(bound.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(&bound)->sin6_port
                                           : reinterpret_cast<sockaddr_in*>(&bound)->sin_port);
  return absl::OkStatus();
}

Context Listener::State::CurrentContext() {
  absl::MutexLock lock(&mutex);
  if (!options.tls.has_value()) return nullptr;
  if (steady_clock::now() - looked_at < std::chrono::seconds(1)) return context;
  looked_at = steady_clock::now();
  std::vector<int64_t> now = Stamps(*options.tls);
  if (now == stamps) return context;
  absl::StatusOr<Context> made = MakeContext(*options.tls);
  if (made.ok()) {
    context = *std::move(made);
    stamps = std::move(now);
    log::Info("certificates were read again");
  } else {
    log::Warn("changed certificates cannot be used", {{"status", made.status()}});
  }
  return context;
}

void Listener::State::Accept() {
  while (!Stopping()) {
    pollfd waiting{socket, POLLIN, 0};
    if (poll(&waiting, 1, kPollMilliseconds) != 1) continue;
    const int accepted = accept4(socket, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (accepted < 0) continue;
    const int yes = 1;
    setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
    {
      absl::MutexLock lock(&mutex);
      if (connections >= options.max_connections) {
        close(accepted);
        continue;
      }
      ++connections;
    }
    std::thread([this, accepted] {
      Serve(accepted);
      close(accepted);
      absl::MutexLock lock(&mutex);
      --connections;
    }).detach();
  }
}

void Listener::State::Serve(int accepted) {
  const Context tls = CurrentContext();
  Connection connection(accepted, tls.get());
  if (!connection.Handshake(steady_clock::now() + ToChrono(options.request_time))) {
    log::Info("a connection was refused", {{"why", crypto::TakeOpenSslErrors()}});
    return;
  }
  const Peer peer = connection.PeerOf();
  std::string buffer;
  while (ServeOne(connection, peer, buffer)) continue;
  connection.SayGoodbye();
}

bool Listener::State::ServeOne(Connection& connection, const Peer& peer, std::string& buffer) {
  const steady_clock::time_point idle_end = steady_clock::now() + ToChrono(options.idle);
  while (buffer.empty()) {
    // In short steps, so that an idle connection does not hold up the end.
    const auto step = std::min(idle_end, steady_clock::now() + std::chrono::milliseconds(kPollMilliseconds));
    if (connection.ReadSome(buffer, step)) break;
    if (Stopping() || steady_clock::now() < step || steady_clock::now() >= idle_end) return false;
  }
  const steady_clock::time_point deadline = steady_clock::now() + ToChrono(options.request_time);
  const auto refuse = [&](const HttpResponse& response) {
    connection.Write(Serialise(response, /*keep_alive=*/false, /*head_only=*/false), deadline);
    return false;
  };

  size_t end;
  while ((end = buffer.find("\r\n\r\n")) == std::string::npos) {
    if (buffer.size() > kMaxHeadBytes) return refuse(Plain(431, "the head of the request is too long"));
    if (!connection.ReadSome(buffer, deadline)) return false;
  }
  absl::StatusOr<ParsedHead> head = ParseHead(absl::string_view(buffer).substr(0, end + 4));
  if (!head.ok()) return refuse(Plain(400, head.status().message()));
  buffer.erase(0, end + 4);
  HttpRequest& request = head->request;
  const Framing& framing = head->framing;
  if (framing.content_length > static_cast<int64_t>(options.max_body)) {
    return refuse(Plain(413, "the body is too large"));
  }
  if (framing.expects_continue && !connection.Write("HTTP/1.1 100 Continue\r\n\r\n", deadline)) return false;
  if (framing.chunked) {
    while (true) {
      absl::StatusOr<std::optional<Dechunked>> body = Dechunk(buffer, options.max_body);
      if (!body.ok()) {
        return refuse(Plain(absl::IsResourceExhausted(body.status()) ? 413 : 400, body.status().message()));
      }
      if (body->has_value()) {
        request.body = std::move((*body)->body);
        buffer.erase(0, (*body)->consumed);
        break;
      }
      // It is read from its beginning each time: who sends bytes one by one is not let go on for long.
      if (buffer.size() > 2 * options.max_body) return refuse(Plain(413, "the body is too large"));
      if (!connection.ReadSome(buffer, deadline)) return false;
    }
  } else {
    const auto length = static_cast<size_t>(framing.content_length);
    while (buffer.size() < length) {
      if (!connection.ReadSome(buffer, deadline)) return false;
    }
    request.body = buffer.substr(0, length);
    buffer.erase(0, length);
  }

  const HttpResponse response = handler(request, peer);
  const bool keep_alive = framing.keep_alive && !Stopping();
  return connection.Write(Serialise(response, keep_alive, request.method == "HEAD"),
                          steady_clock::now() + ToChrono(options.request_time)) &&
         keep_alive;
}

}  // namespace countersign::cse_guard
