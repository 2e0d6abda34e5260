#include "tests/load/bare_tls.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <utility>

#include "tests/load/child.h"

namespace countersign::load {
namespace {

constexpr int kChunkBytes = 256 << 10;

struct Free {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  void operator()(SSL* connection) const { SSL_free(connection); }
};

void Require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "bare TLS: %s failed\n", what);
  std::abort();
}

std::unique_ptr<SSL_CTX, Free> NewContext(const SSL_METHOD* method, const rpc::TlsOptions& tls) {
  std::unique_ptr<SSL_CTX, Free> context(SSL_CTX_new(method));
  SSL_CTX_set_min_proto_version(context.get(), TLS1_3_VERSION);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  Require(SSL_CTX_use_certificate_chain_file(context.get(), tls.certificate_file.c_str()) == 1 &&
              SSL_CTX_use_PrivateKey_file(context.get(), tls.key_file.c_str(), SSL_FILETYPE_PEM) == 1 &&
              SSL_CTX_load_verify_locations(context.get(), tls.ca_file.c_str(), nullptr) == 1,
          "loading certificates");
  return context;
}

sockaddr_in Loopback(int port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

void ServeConnection(SSL_CTX* context, int fd) {
  const std::unique_ptr<SSL, Free> connection(SSL_new(context));
  SSL_set_fd(connection.get(), fd);
  if (SSL_accept(connection.get()) == 1) {
    const std::string chunk(kChunkBytes, 'x');
    int64_t wanted = 0;
    while (SSL_read(connection.get(), &wanted, sizeof(wanted)) == sizeof(wanted)) {
      for (; wanted > 0; wanted -= kChunkBytes) {
        const int size = static_cast<int>(std::min<int64_t>(wanted, kChunkBytes));
        Require(SSL_write(connection.get(), chunk.data(), size) == size, "SSL_write");
      }
    }
  }
  close(fd);
}

}  // namespace

void ServeBareTls(const rpc::TlsOptions& tls) {
  const auto context = NewContext(TLS_server_method(), tls);
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = Loopback(0);
  socklen_t length = sizeof(address);
  Require(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0 &&
              listen(listener, 16) == 0 &&
              getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length) == 0,
          "listening");
  std::thread([&] {
    while (true) {
      const int fd = accept(listener, nullptr, nullptr);
      Require(fd >= 0, "accept");
      std::thread(ServeConnection, context.get(), fd).detach();
    }
  }).detach();
  ServeUntilOrphaned(ntohs(address.sin_port));
  std::_Exit(0);  // whatever its threads are doing
}

struct BareTlsClient::Connection {
  std::unique_ptr<SSL_CTX, Free> context;
  std::unique_ptr<SSL, Free> ssl;
  int fd = -1;
};

BareTlsClient::BareTlsClient(const rpc::TlsOptions& tls, int port, int connections) {
  for (int i = 0; i < connections; ++i) {
    auto connection = std::make_unique<Connection>();
    connection->context = NewContext(TLS_client_method(), tls);
    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_in address = Loopback(port);
    Require(connect(connection->fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0,
            "connect");
    connection->ssl.reset(SSL_new(connection->context.get()));
    SSL_set_fd(connection->ssl.get(), connection->fd);
    Require(SSL_connect(connection->ssl.get()) == 1, "SSL_connect");
    connections_.push_back(std::move(connection));
  }
}

BareTlsClient::~BareTlsClient() {
  for (const std::unique_ptr<Connection>& connection : connections_) close(connection->fd);
}

void BareTlsClient::Download(int64_t bytes) {
  std::vector<std::thread> threads;
  for (const std::unique_ptr<Connection>& connection : connections_) {
    threads.emplace_back([&connection, bytes] {
      SSL* const ssl = connection->ssl.get();
      Require(SSL_write(ssl, &bytes, sizeof(bytes)) == sizeof(bytes), "SSL_write");
      std::string buffer(kChunkBytes, '\0');
      for (int64_t left = bytes; left > 0;) {
        const int count =
            SSL_read(ssl, buffer.data(), static_cast<int>(std::min<int64_t>(left, kChunkBytes)));
        Require(count > 0, "SSL_read");
        left -= count;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace countersign::load
