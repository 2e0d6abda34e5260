#ifndef COUNTERSIGN_SERVICES_ROLLOUT_CLIENTS_IMAGE_REPOSITORY_H_
#define COUNTERSIGN_SERVICES_ROLLOUT_CLIENTS_IMAGE_REPOSITORY_H_

#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/clock/clock.h"
#include "common/trust/client.h"
#include "common/trust/trusted_store.h"

namespace countersign::rollout {

// The service's own TUF client of the image repository: what the Director signs it has verified itself, from
// the root that it was started with (PLUS-1). Thread-safe; blocks while it fetches.
class ImageRepository {
 public:
  // `fetcher`, `store` and `clock` outlive it. What was verified is believed for `max_age` before it is
  // fetched again.
  ImageRepository(trust::Fetcher& fetcher, trust::TrustedStore& store, std::string initial_root,
                  const Clock& clock, absl::Duration max_age = absl::Seconds(5))
      : clock_(clock), max_age_(max_age), client_(&fetcher, &store, std::move(initial_root)) {}

  // The approved target for `path`. NOT_FOUND (TARGET_UNKNOWN) if nobody vouches for it, also not by metadata
  // that was fetched just now; UNAVAILABLE (IMAGE_REPOSITORY_UNVERIFIED) when it cannot be told: the store
  // does not answer, or what it answers does not verify.
  absl::StatusOr<trust::TargetFile> Find(absl::string_view path);

 private:
  absl::Status Refresh(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Clock& clock_;
  const absl::Duration max_age_;
  absl::Mutex mutex_;
  trust::RepositoryClient client_ ABSL_GUARDED_BY(mutex_);
  absl::Time refreshed_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
};

}  // namespace countersign::rollout

#endif  // COUNTERSIGN_SERVICES_ROLLOUT_CLIENTS_IMAGE_REPOSITORY_H_
