#ifndef COUNTERSIGN_SERVICES_ROLLOUT_CLIENTS_PACKAGE_STORE_CLIENT_H_
#define COUNTERSIGN_SERVICES_ROLLOUT_CLIENTS_PACKAGE_STORE_CLIENT_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/rpc/channel.h"
#include "common/trust/client.h"
#include "services/rollout/domain/release.h"

namespace countersign::rollout {

// What the store says about a package's place in the transparency log. Nothing in it is trusted.
struct LoggedPackage {
  int64_t role_version = 0;
  std::string log_proof;
};

// What the package store has published. Thread-safe; blocks.
class PackageStoreClient : public trust::Fetcher {
 public:
  PackageStoreClient(const rpc::Dialer& dialer, absl::string_view address);
  ~PackageStoreClient() override;

  // The package behind `release`, if it is exactly what the release promises: FAILED_PRECONDITION
  // (NOT_APPROVED); UNAVAILABLE (PACKAGE_STORE_UNAVAILABLE).
  absl::StatusOr<Package> GetApproved(const Release& release, absl::Time deadline);

  // NOT_FOUND if nothing is published there; UNAVAILABLE.
  absl::StatusOr<LoggedPackage> GetLogged(const std::string& target_path);

  // A metadata file of the image repository. Nothing that it returns is trusted.
  absl::StatusOr<std::string> Fetch(absl::string_view filename, int64_t max_length) override;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace countersign::rollout

#endif  // COUNTERSIGN_SERVICES_ROLLOUT_CLIENTS_PACKAGE_STORE_CLIENT_H_
