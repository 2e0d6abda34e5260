#ifndef COUNTERSIGN_SERVICES_ROLLOUT_STORAGE_BUNDLES_H_
#define COUNTERSIGN_SERVICES_ROLLOUT_STORAGE_BUNDLES_H_

#include <functional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "common/clock/clock.h"
#include "common/db/database.h"
#include "services/rollout/storage/rollout_store.h"

namespace countersign::rollout {

// Rollouts whose components change together: all of a gateway's, or none. Blocks; thread-safe. Each function
// is one transaction, and returns how many assignments it moved; 0 also when another replica is just at it.
class Bundles {
 public:
  // Both outlive it. `on_ended` as RolloutStore's.
  Bundles(db::Database& database, const Clock& clock, std::function<void(const Ended&)> on_ended = nullptr)
      : database_(database), clock_(clock), on_ended_(std::move(on_ended)) {}

  // Lets the components of at most `limit` gateways in, of each gateway all of them once all of them are
  // consented, as far as max_concurrent has room for them. A gateway that has more components than
  // max_concurrent would wait for ever: the rollout is paused, with the reason.
  absl::StatusOr<int> Admit(const std::string& rollout, int limit);

  // Cancels, with reason DEPENDENCY, at most `limit` assignments that have not reached UPDATING and of whose
  // bundle another one has ended without its image.
  absl::StatusOr<int> EndBroken(const std::string& rollout, int limit);

 private:
  db::Database& database_;
  const Clock& clock_;
  const std::function<void(const Ended&)> on_ended_;
};

}  // namespace countersign::rollout

#endif  // COUNTERSIGN_SERVICES_ROLLOUT_STORAGE_BUNDLES_H_
