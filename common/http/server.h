// A small HTTP server for people and probes, that nobody can make big: few threads, short requests, and a
// time within which each connection ends. Keeps cpp-httplib in one file.
#ifndef COUNTERSIGN_COMMON_HTTP_SERVER_H_
#define COUNTERSIGN_COMMON_HTTP_SERVER_H_

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace countersign::http {

struct Request {
  std::string method;  // "GET", "HEAD" or "POST": nothing else gets here
  std::string path;    // decoded
  std::multimap<std::string, std::string> query;
  std::multimap<std::string, std::string> form;  // of a POST with application/x-www-form-urlencoded
  // By name in lower case. A header that is sent more than once is the first one; CountHeader tells.
  std::map<std::string, std::string> headers;
  std::map<std::string, int> header_counts;

  // The first value, or "".
  std::string Query(const std::string& name) const;
  std::string Form(const std::string& name) const;
  std::string Header(const std::string& name) const;
};

struct Response {
  int code = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
};

struct ServerOptions {
  size_t threads = 8;
  // Line, headers and body; what is longer is not read.
  size_t max_request_bytes = 4096;
  // From the connection to the last byte of the request, and to the last byte of the answer.
  absl::Duration max_request_time = absl::Seconds(2);
  absl::Duration max_connection_time = absl::Seconds(2);
  // Threads that one address may have at a time, so that it leaves some for others; what is beyond is closed. 0: all.
  size_t max_threads_per_address = 0;
  // Connections that wait for a thread; beyond, nobody is accepted.
  size_t max_waiting = 64;
  // PEM files; with both it speaks TLS, and nothing else.
  std::string tls_certificate;
  std::string tls_key;
};

// Serves on threads of its own until it is destroyed.
class Server {
 public:
  // `respond` must be thread-safe.
  Server(ServerOptions options, std::function<Response(const Request&)> respond);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // `host` is an address; port 0 is any free one. UNAVAILABLE (PORT_UNAVAILABLE) when the port is taken;
  // INVALID_ARGUMENT (TLS_UNUSABLE) when certificate or key are none, or not of each other.
  absl::Status Start(const std::string& host, int port);
  int port() const { return port_; }

 private:
  struct State;
  std::unique_ptr<State> state_;
  int port_ = 0;
};

}  // namespace countersign::http

#endif  // COUNTERSIGN_COMMON_HTTP_SERVER_H_
