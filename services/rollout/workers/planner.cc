#include "services/rollout/workers/planner.h"

#include <optional>
#include <utility>
#include <vector>

#include "common/crypto/random.h"
#include "common/log/log.h"
#include "common/status/errors.h"
#include "common/status/macros.h"

namespace countersign::rollout {
namespace {

// A transaction takes this many: enough that the commit does not matter, few enough that the lease is renewed
// often.
constexpr size_t kBatch = 2000;

}  // namespace

absl::Status Planner::Plan(const PlanningJob& job, std::stop_token stop) {
  std::vector<Planned> batch;
  RETURN_IF_ERROR(inventory_.StreamComponents(
      job.rollout.spec.filter,
      [&](std::vector<Component> components) -> absl::Status {
        for (Component& component : components) {
          if (const std::optional<int> release = FirstFitting(job.releases, component)) {
            batch.push_back({std::move(component), *release});
          }
        }
        if (batch.size() < kBatch) return absl::OkStatus();
        RETURN_IF_ERROR(store_.Plan(job, batch, lease_));
        batch.clear();
        return absl::OkStatus();
      },
      stop));
  RETURN_IF_ERROR(store_.Plan(job, batch, lease_));
  return store_.FinishPlanning(job);
}

absl::StatusOr<bool> Planner::Round(std::stop_token stop) {
  ASSIGN_OR_RETURN(const std::optional<PlanningJob> job, store_.ClaimPlanning(crypto::RandomHex(8), lease_));
  if (!job.has_value()) return false;
  const absl::Status status = Plan(*job, stop);
  if (status.ok()) {
    log::Info("rollout planned", {{"rollout", job->rollout.id}});
    return true;
  }
  if (ReasonOf(status) == "PLANNING_LOST") return true;
  if (absl::IsInvalidArgument(status)) {
    // Whoever asks again gets the same answer.
    RETURN_IF_ERROR(store_.FailPlanning(*job, status.message()));
    return true;
  }
  RETURN_IF_ERROR(store_.YieldPlanning(*job));
  return status;
}

}  // namespace countersign::rollout
