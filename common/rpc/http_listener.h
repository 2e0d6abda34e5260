// The plain HTTP port of a server. Internal to common/rpc.
#ifndef COUNTERSIGN_COMMON_RPC_HTTP_LISTENER_H_
#define COUNTERSIGN_COMMON_RPC_HTTP_LISTENER_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"

namespace countersign::rpc::internal {

struct HttpResponse {
  int code = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};

// Serves GET on fixed paths, on a few threads of its own.
class HttpListener {
 public:
  HttpListener();
  // Stops.
  ~HttpListener();

  // Before Start. `respond` must be thread-safe.
  void Get(const std::string& path, std::function<HttpResponse()> respond);

  // `host` is an address; port 0 is any free one. UNAVAILABLE when the port is taken.
  absl::Status Start(const std::string& host, int port);
  int port() const { return port_; }

 private:
  struct State;
  std::unique_ptr<State> state_;
  int port_ = 0;
};

}  // namespace countersign::rpc::internal

#endif  // COUNTERSIGN_COMMON_RPC_HTTP_LISTENER_H_
