#ifndef COUNTERSIGN_TOOLS_CSE_GUARD_LISTENER_H_
#define COUNTERSIGN_TOOLS_CSE_GUARD_LISTENER_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tools/cse_guard/http.h"

namespace countersign::cse_guard {

// Who is at the other end of a connection.
struct Peer {
  // The certificates that it proved to hold, in DER, from its own to the root that was verified; empty if it
  // showed none.
  std::vector<std::string> certificates;
};

// Serves HTTP/1.1, over TLS with optional client certificates, or plain. One thread for each connection, of
// which there are a bounded number; each part of a request has its time.
class Listener {
 public:
  using Handler = std::function<HttpResponse(const HttpRequest&, const Peer&)>;

  struct Tls {
    std::string certificate_file;  // PEM chain; read again when it changes
    std::string key_file;
    std::string client_ca_file;  // PEM bundle: the roots of trust of applications
  };
  struct Options {
    std::string address;     // host:port; port 0 is any free one
    std::optional<Tls> tls;  // plain without
    size_t max_body = 1 << 20;
    int max_connections = 256;
    absl::Duration idle = absl::Seconds(30);          // between two requests of a connection
    absl::Duration request_time = absl::Seconds(20);  // for a handshake, a head with its body, an answer
  };

  // `handler` must be thread-safe.
  Listener(Options options, Handler handler);
  // Stops: takes no more connections, and waits for those that are answered.
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  // UNAVAILABLE when the address is taken, INVALID_ARGUMENT when the files cannot be used.
  absl::Status Start();
  int port() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace countersign::cse_guard

#endif  // COUNTERSIGN_TOOLS_CSE_GUARD_LISTENER_H_
