#ifndef COUNTERSIGN_SERVICES_ROLLOUT_APP_H_
#define COUNTERSIGN_SERVICES_ROLLOUT_APP_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/rollout/config.h"

namespace countersign::rollout {

// The rollout service in this process: everything that the binary has but flags and signals.
class App {
 public:
  // Brings the database up to date, waiting up to a minute for it to answer, and serves. Services that it
  // asks need not be there yet. INVALID_ARGUMENT or NOT_FOUND for key and root files that cannot work.
  static absl::StatusOr<std::unique_ptr<App>> Start(const Config& config);

  // The same until SIGTERM or SIGINT, then drains.
  static absl::Status RunUntilSignal(const Config& config);

  ~App();
  App(const App&) = delete;
  App& operator=(const App&) = delete;

  int grpc_port() const;
  int http_port() const;

  // Drains: finishes what runs, takes nothing new. Idempotent.
  void Stop();

 private:
  struct Parts;

  explicit App(std::unique_ptr<Parts> parts);
  static absl::StatusOr<std::unique_ptr<Parts>> Make(const Config& config);

  std::unique_ptr<Parts> parts_;
};

}  // namespace countersign::rollout

#endif  // COUNTERSIGN_SERVICES_ROLLOUT_APP_H_
