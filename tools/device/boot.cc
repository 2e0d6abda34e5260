#include "tools/device/boot.h"

#include <utility>

namespace countersign::device {

BootState Activate(BootState state, std::string sha256) {
  state.trial = true;
  state.tries = 0;
  state.outcome = Outcome::kNone;
  state.trial_sha256 = std::move(sha256);
  return state;
}

BootState BeginBoot(BootState state) {
  if (!state.trial) return state;
  if (state.tries >= kMaxTries) return EndTrial(std::move(state), /*healthy=*/false);
  ++state.tries;
  return state;
}

BootState EndTrial(BootState state, bool healthy) {
  state.trial = false;
  state.tries = 0;
  state.outcome = healthy ? Outcome::kConfirmed : Outcome::kRolledBack;
  if (healthy) state.active = Other(state.active);
  return state;
}

}  // namespace countersign::device
