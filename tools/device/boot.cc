#include "tools/device/boot.h"

#include <algorithm>
#include <utility>

namespace countersign::device {
namespace {

BootState Settle(BootState state, Outcome outcome) {
  state.stage = Stage::kSettled;
  state.tries = 0;
  state.outcome = outcome;
  return state;
}

}  // namespace

BootState Activate(BootState state, std::string sha256, std::string bundle) {
  state.stage = Stage::kTrial;
  state.tries = 0;
  state.outcome = Outcome::kNone;
  state.trial_sha256 = std::move(sha256);
  state.bundle = std::move(bundle);
  return state;
}

BootState BeginBoot(BootState state) {
  if (state.stage == Stage::kSettled) return state;
  if (state.tries >= kMaxTries) return Settle(std::move(state), Outcome::kRolledBack);
  ++state.tries;
  return state;
}

BootState EndBoot(BootState state, bool healthy, int64_t release_counter) {
  if (!healthy) return Settle(std::move(state), Outcome::kRolledBack);
  if (state.bundle.empty()) return Commit(std::move(state), release_counter);
  state.stage = Stage::kProvisional;
  state.tries = 0;
  state.outcome = Outcome::kCameUp;
  return state;
}

BootState Postpone(BootState state) { return Settle(std::move(state), Outcome::kPostponed); }

BootState Commit(BootState state, int64_t release_counter) {
  state.active = Other(state.active);
  state.release_floor = std::max(state.release_floor, release_counter);
  state.damage.clear();
  return Settle(std::move(state), Outcome::kCameUp);
}

BootState Revert(BootState state) { return Settle(std::move(state), Outcome::kReverted); }

BootState Damaged(BootState state, std::string sha256, std::string damage, bool other_runs) {
  if (other_runs) state.active = Other(state.active);
  state.trial_sha256 = std::move(sha256);
  state.bundle.clear();
  state.damage = std::move(damage);
  return Settle(std::move(state), other_runs ? Outcome::kFellBack : Outcome::kNoImage);
}

}  // namespace countersign::device
