#ifndef COUNTERSIGN_SERVICES_ROLLOUT_WORKERS_PLANNER_H_
#define COUNTERSIGN_SERVICES_ROLLOUT_WORKERS_PLANNER_H_

#include <stop_token>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/rollout/clients/inventory_client.h"
#include "services/rollout/storage/rollout_store.h"

namespace countersign::rollout {

// Gives each selected component its release. A replica that dies in the middle loses nothing: its claim runs
// out, and the next one goes through the selection again, where what was planned already stays as it is.
class Planner {
 public:
  // What it is given must outlive it.
  Planner(RolloutStore& store, InventoryClient& inventory, absl::Duration lease = absl::Seconds(30))
      : store_(store), inventory_(inventory), lease_(lease) {}

  // Plans one rollout, if one waits: a Loop's round.
  absl::StatusOr<bool> Round(std::stop_token stop);

 private:
  absl::Status Plan(const PlanningJob& job, std::stop_token stop);

  RolloutStore& store_;
  InventoryClient& inventory_;
  const absl::Duration lease_;
};

}  // namespace countersign::rollout

#endif  // COUNTERSIGN_SERVICES_ROLLOUT_WORKERS_PLANNER_H_
