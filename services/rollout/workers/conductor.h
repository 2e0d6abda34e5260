#ifndef COUNTERSIGN_SERVICES_ROLLOUT_WORKERS_CONDUCTOR_H_
#define COUNTERSIGN_SERVICES_ROLLOUT_WORKERS_CONDUCTOR_H_

#include <stop_token>

#include "absl/status/statusor.h"
#include "services/rollout/storage/bundles.h"
#include "services/rollout/storage/ended_packages.h"
#include "services/rollout/storage/rollout_store.h"

namespace countersign::rollout {

// Moves the assignments of open rollouts as time and budgets allow (PLUS-4): lets components in, counts
// silence as failure, ends deferrals, and calls off what an abort or the end of a package left.
class Conductor {
 public:
  // What it is given must outlive it.
  Conductor(RolloutStore& store, EndedPackages& ended, Bundles& bundles)
      : store_(store), ended_(ended), bundles_(bundles) {}

  // A Loop's round.
  absl::StatusOr<bool> Round(std::stop_token stop);

 private:
  RolloutStore& store_;
  EndedPackages& ended_;
  Bundles& bundles_;
};

}  // namespace countersign::rollout

#endif  // COUNTERSIGN_SERVICES_ROLLOUT_WORKERS_CONDUCTOR_H_
