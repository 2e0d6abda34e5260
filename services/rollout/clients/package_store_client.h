#ifndef COUNTERSIGN_SERVICES_ROLLOUT_CLIENTS_PACKAGE_STORE_CLIENT_H_
#define COUNTERSIGN_SERVICES_ROLLOUT_CLIENTS_PACKAGE_STORE_CLIENT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/feed/follower.h"
#include "common/rpc/channel.h"
#include "common/trust/client.h"
#include "services/rollout/domain/release.h"
#include "services/rollout/storage/ended_packages.h"

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

  // NOT_FOUND if nothing is published there, or not any more (PACKAGE_REVOKED, PACKAGE_WITHDRAWN);
  // UNAVAILABLE.
  absl::StatusOr<LoggedPackage> GetLogged(const std::string& target_path);

  // For feed::Follower: packages as they are published, revoked and withdrawn.
  absl::Status Watch(const std::string& token, const feed::Follower::Sink& sink, std::stop_token stop);
  static absl::StatusOr<PackageNews> NewsOf(const feed::Event& event);
  // All there are and were, in pages.
  absl::Status ListAll(const std::function<absl::Status(const std::vector<PackageNews>&)>& take,
                       std::stop_token stop);

  // A metadata file of the image repository. Nothing that it returns is trusted.
  absl::StatusOr<std::string> Fetch(absl::string_view filename, int64_t max_length) override;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace countersign::rollout

#endif  // COUNTERSIGN_SERVICES_ROLLOUT_CLIENTS_PACKAGE_STORE_CLIENT_H_
