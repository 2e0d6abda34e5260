#ifndef COUNTERSIGN_SERVICES_ROLLOUT_STORAGE_ENDED_PACKAGES_H_
#define COUNTERSIGN_SERVICES_ROLLOUT_STORAGE_ENDED_PACKAGES_H_

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/clock/clock.h"
#include "common/db/database.h"
#include "services/rollout/storage/rollout_store.h"

namespace countersign::rollout {

// What the package store tells about a package.
struct PackageNews {
  std::string target_path;
  bool ended = false;  // revoked or withdrawn; else published, also again
  std::string why;     // of an end, for people: what, by whom, and the reason
};

// Packages that are approved no longer, and what follows: no component of a launched rollout gets them that
// has not begun to write. Blocks; thread-safe.
class EndedPackages {
 public:
  // Both outlive it. `on_ended` as RolloutStore's.
  EndedPackages(db::Database& database, const Clock& clock,
                std::function<void(const Ended&)> on_ended = nullptr)
      : database_(database), clock_(clock), on_ended_(std::move(on_ended)) {}

  // An end stops assignments in the same transaction, up to a number; Stop() the rest.
  absl::Status Take(db::Transaction& tx, const PackageNews& news);
  absl::Status TakeAll(const std::vector<PackageNews>& news);

  // Stops at most `limit` assignments in each launched rollout that has a release whose package has ended.
  // Whether there may be more.
  absl::StatusOr<bool> Stop(int limit);

  // Why the package at `target_path` has ended; nullopt if it has not.
  absl::StatusOr<std::optional<std::string>> Why(const std::string& target_path);

 private:
  struct Release;  // of a launched rollout, with what to stop of it

  std::vector<Release> ToStop(db::Session& session);
  // Whether there may be more.
  bool StopSome(db::Transaction& tx, const Release& release, int limit, bool wait);

  db::Database& database_;
  const Clock& clock_;
  const std::function<void(const Ended&)> on_ended_;
};

}  // namespace countersign::rollout

#endif  // COUNTERSIGN_SERVICES_ROLLOUT_STORAGE_ENDED_PACKAGES_H_
