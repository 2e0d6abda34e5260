#ifndef COUNTERSIGN_SERVICES_ROLLOUT_WORKERS_CONDUCTOR_H_
#define COUNTERSIGN_SERVICES_ROLLOUT_WORKERS_CONDUCTOR_H_

#include <stop_token>

#include "absl/status/statusor.h"
#include "services/rollout/storage/rollout_store.h"

namespace countersign::rollout {

// Moves the assignments of open rollouts as time and budgets allow (PLUS-4): lets components in, counts
// silence as failure, ends deferrals, and calls off what an abort left.
class Conductor {
 public:
  explicit Conductor(RolloutStore& store) : store_(store) {}

  // A Loop's round.
  absl::StatusOr<bool> Round(std::stop_token stop);

 private:
  RolloutStore& store_;
};

}  // namespace countersign::rollout

#endif  // COUNTERSIGN_SERVICES_ROLLOUT_WORKERS_CONDUCTOR_H_
