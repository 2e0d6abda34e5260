#ifndef COUNTERSIGN_SERVICES_CONSENT_APP_H_
#define COUNTERSIGN_SERVICES_CONSENT_APP_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "services/consent/config.h"

namespace countersign::consent {

// The consent service in this process: everything that the binary has but flags and signals.
class App {
 public:
  // Brings the database up to date, waiting up to a minute for it to answer, and serves.
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

}  // namespace countersign::consent

#endif  // COUNTERSIGN_SERVICES_CONSENT_APP_H_
