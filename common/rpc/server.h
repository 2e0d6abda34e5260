// The runtime of every service: gRPC over mutual TLS, health, reflection, metrics, readiness, and an orderly
// end.
//
//   int main(int argc, char** argv) {
//     CLI::App app("Inventory of gateways, devices and what they run.");
//     rpc::ServerOptions options;
//     std::string database;
//     rpc::AddServerFlags(app, options);                              // common/rpc/flags.h
//     rpc::AddFlag(app, "--database", database, "PostgreSQL connection string")->required();
//     CLI11_PARSE(app, argc, argv);
//     ... open the database, make the stores ...
//     InventoryApi api(store);
//     rpc::Server server(options);
//     server.AddService(api.Bind());
//     server.AddReadinessCheck("database", [&] { return db.Ping(); });
//     return rpc::ExitCode(server.RunUntilSignal());
//   }
//
// Besides the services that are added, the port answers grpc.health.v1.Health and server reflection. Those
// two are open to every identity of the trust domain, whatever its role: they tell only that the server lives
// and what its public API is.
//
// The plain HTTP port has /metrics (Prometheus), /healthz (200 while the process lives), /readyz (200, or 503
// with the names of the checks that fail). It has no authentication and shows nothing of users or devices:
// bind it where only the scraper and the kubelet reach it.
#ifndef COUNTERSIGN_COMMON_RPC_SERVER_H_
#define COUNTERSIGN_COMMON_RPC_SERVER_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/metrics/metrics.h"
#include "common/rpc/executor.h"
#include "common/rpc/handler.h"
#include "common/rpc/tls.h"

namespace countersign::rpc {

struct ServerOptions {
  std::string listen = "127.0.0.1:0";       // port 0: any free one
  std::string http_listen = "127.0.0.1:0";  // port 0: any free one
  TlsOptions tls;
  std::string port_file;  // written once both ports answer: "<grpc port> <http port>\n"
  int threads = 16;       // of the executor
  int max_queued_calls = 1024;
  int max_message_bytes = 4 << 20;
  int max_concurrent_streams = 1000;  // per connection
  // What of a client's stream may wait in memory for its handler; 0: as much as gRPC finds the connection
  // good for, which grows without a bound while the handler is slower than the network.
  int stream_window_bytes = 0;
  absl::Duration grace = absl::Seconds(20);
  // Prometheus registry of the process; tests with several servers give each its own.
  metrics::Registry* registry = nullptr;  // Registry::Default() when null
};

class Server {
 public:
  explicit Server(ServerOptions options);
  // Drains if it still runs.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Before Start.
  void AddService(std::unique_ptr<Service> service);
  // `check` runs at each /readyz on the HTTP port's thread: it must be thread-safe and come back within about
  // a second.
  void AddReadinessCheck(absl::string_view name, std::function<absl::Status()> check);

  // Whether gRPC health answers SERVING (as it does unless told otherwise) or NOT_SERVING; while the server
  // drains it is NOT_SERVING whatever was set. At any time, from any thread.
  void SetHealthy(bool healthy);

  // Serves. INVALID_ARGUMENT for options that cannot work (a file that is missing or no key of its
  // certificate, a bad address), FAILED_PRECONDITION when a service does not fit its descriptor or its role
  // table, UNAVAILABLE when a port is taken.
  absl::Status Start();

  // After Start.
  int grpc_port() const;
  int http_port() const;

  // Lives as long as the server; for work that handlers start and for background jobs.
  Executor& executor();
  metrics::Registry& registry();

  // The ordered end: not ready, health NOT_SERVING, no new connections or calls, open server streams end with
  // UNAVAILABLE (reason SERVER_DRAINING, with a retry delay that has jitter), running calls finish; what
  // still runs after the grace period is cancelled. Blocks until all handlers have returned. Idempotent.
  void Drain();

  // Start, wait for SIGTERM or SIGINT, Drain.
  absl::Status RunUntilSignal();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// 0 when OK; otherwise logs the status and returns 1.
int ExitCode(const absl::Status& status);

}  // namespace countersign::rpc

#endif  // COUNTERSIGN_COMMON_RPC_SERVER_H_
