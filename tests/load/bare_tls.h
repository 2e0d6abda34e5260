#ifndef COUNTERSIGN_TESTS_LOAD_BARE_TLS_H_
#define COUNTERSIGN_TESTS_LOAD_BARE_TLS_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "common/rpc/tls.h"

// OpenSSL's mutual TLS 1.3 on blocking sockets with nothing on it: what gRPC cannot be faster than.
namespace countersign::load {

// Serves in a child process (child.h) until the parent has gone: each connection asks for a number of bytes,
// any number of times, and gets them in writes of 256 KiB.
void ServeBareTls(const rpc::TlsOptions& tls);

// Several connections to a bare server. Aborts when something fails.
class BareTlsClient {
 public:
  BareTlsClient(const rpc::TlsOptions& tls, int port, int connections);
  ~BareTlsClient();

  // `bytes` over each connection, all at once.
  void Download(int64_t bytes);

 private:
  struct Connection;
  std::vector<std::unique_ptr<Connection>> connections_;
};

}  // namespace countersign::load

#endif  // COUNTERSIGN_TESTS_LOAD_BARE_TLS_H_
