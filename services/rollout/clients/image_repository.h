#ifndef COUNTERSIGN_SERVICES_ROLLOUT_CLIENTS_IMAGE_REPOSITORY_H_
#define COUNTERSIGN_SERVICES_ROLLOUT_CLIENTS_IMAGE_REPOSITORY_H_

#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/clock/clock.h"
#include "common/trust/client.h"
#include "common/trust/trusted_store.h"
#include "services/rollout/clients/package_store_client.h"
#include "services/rollout/domain/approved_image.h"

namespace countersign::rollout {

// The service's own TUF client of the image repository: what the Director signs it has verified itself, from
// the root that it was started with (PLUS-1). Thread-safe; blocks while it fetches.
class ImageRepository {
 public:
  // The store's word for a package, for the proof in it: NOT_FOUND if it has none.
  using GetLogged = std::function<absl::StatusOr<LoggedPackage>(const std::string& path)>;

  // `fetcher`, `store` and `clock` outlive it. What was verified is believed for `max_age` before it is
  // fetched again.
  ImageRepository(trust::Fetcher& fetcher, GetLogged get_logged, trust::TrustedStore& store,
                  std::string initial_root, const Clock& clock, absl::Duration max_age = absl::Seconds(5))
      : clock_(clock),
        max_age_(max_age),
        get_logged_(std::move(get_logged)),
        client_(&fetcher, &store, std::move(initial_root)) {}

  // The approved target for `path`, with what the store gives as the proof that the approval is public, which
  // is not verified here. NOT_FOUND (TARGET_UNKNOWN) if nobody vouches for it, also not by metadata that was
  // fetched just now; NOT_FOUND (PACKAGE_REVOKED, PACKAGE_WITHDRAWN) if the store says so; UNAVAILABLE
  // (IMAGE_REPOSITORY_UNVERIFIED) when it cannot be told: the store does not answer, or what it answers does
  // not verify.
  absl::StatusOr<ApprovedImage> Find(absl::string_view path);

 private:
  absl::StatusOr<ApprovedImage> FindTarget(absl::string_view path, absl::Time now);
  absl::Status Refresh(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Clock& clock_;
  const absl::Duration max_age_;
  absl::Mutex mutex_;
  const GetLogged get_logged_;
  trust::RepositoryClient client_ ABSL_GUARDED_BY(mutex_);
  // What proved to be in the log, by path: it stays there. Few images are rolled out at a time.
  std::map<std::string, ApprovedImage> proven_ ABSL_GUARDED_BY(mutex_);
  absl::Time refreshed_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  // What the store has stood by since it was asked last.
  std::set<std::string> in_force_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace countersign::rollout

#endif  // COUNTERSIGN_SERVICES_ROLLOUT_CLIENTS_IMAGE_REPOSITORY_H_
