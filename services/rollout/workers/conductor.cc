#include "services/rollout/workers/conductor.h"

#include <vector>

#include "common/status/macros.h"

namespace countersign::rollout {
namespace {

constexpr int kBatch = 500;

}  // namespace

absl::StatusOr<bool> Conductor::Round(std::stop_token stop) {
  // Before anything of it is let in.
  ASSIGN_OR_RETURN(bool more, ended_.Stop(kBatch));
  ASSIGN_OR_RETURN(const std::vector<Rollout> rollouts, store_.Open());
  for (const Rollout& rollout : rollouts) {
    if (stop.stop_requested()) return false;
    int moved = 0;
    if (IsEnd(rollout.state)) {
      ASSIGN_OR_RETURN(moved, store_.CallOff(rollout.id, kBatch));
      more = more || moved == kBatch;
    }
    // Failures first: they may be the last that the budget allows.
    if (rollout.counts.active > 0) {
      ASSIGN_OR_RETURN(moved, store_.TimeOut(rollout.id, kBatch));
      more = more || moved == kBatch;
    }
    if (rollout.spec.bundle) {
      ASSIGN_OR_RETURN(moved, bundles_.EndBroken(rollout.id, kBatch));
      more = more || moved == kBatch;
    }
    if (rollout.state == RolloutState::kRunning && rollout.counts.waiting > 0) {
      ASSIGN_OR_RETURN(moved, store_.EndDeferrals(rollout.id, kBatch));
      more = more || moved == kBatch;
      if (Capacity(rollout, 1) == 0) continue;
      if (rollout.spec.bundle) {
        ASSIGN_OR_RETURN(moved, bundles_.Admit(rollout.id, kBatch));
        more = more || moved >= kBatch;
        continue;
      }
      ASSIGN_OR_RETURN(moved, store_.Admit(rollout.id, kBatch));
      more = more || moved == kBatch;
    }
  }
  return more;
}

}  // namespace countersign::rollout
