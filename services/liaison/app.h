#ifndef COUNTERSIGN_SERVICES_LIAISON_APP_H_
#define COUNTERSIGN_SERVICES_LIAISON_APP_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/liaison/config.h"

namespace countersign::liaison {

// The whole service in a process. Thread-safe.
class App {
 public:
  // Brings the database up to date, and serves. Waits for the database as long as the configuration says.
  static absl::StatusOr<std::unique_ptr<App>> Start(const Config& config);
  // The same until SIGTERM or SIGINT, then ends in order.
  static absl::Status RunUntilSignal(const Config& config);

  ~App();  // as Stop()

  int grpc_port() const;
  int http_port() const;

  // Ends in order: finishes calls and rounds that run. Idempotent.
  void Stop();

 private:
  struct Parts;
  explicit App(std::unique_ptr<Parts> parts);
  static absl::StatusOr<std::unique_ptr<App>> Build(const Config& config);

  std::unique_ptr<Parts> parts_;
};

}  // namespace countersign::liaison

#endif  // COUNTERSIGN_SERVICES_LIAISON_APP_H_
