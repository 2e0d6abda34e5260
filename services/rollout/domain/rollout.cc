#include "services/rollout/domain/rollout.h"

#include <algorithm>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/status/errors.h"

namespace countersign::rollout {
namespace {

absl::string_view VerbName(RolloutEvent event) {
  switch (event) {
    case RolloutEvent::kPlanned:
      return "planned";
    case RolloutEvent::kPlanningFailed:
      return "given up";
    case RolloutEvent::kStart:
      return "started";
    case RolloutEvent::kPause:
    case RolloutEvent::kBudgetSpent:
      return "paused";
    case RolloutEvent::kResume:
      return "resumed";
    case RolloutEvent::kAbort:
      return "aborted";
    case RolloutEvent::kAllEnded:
      return "completed";
  }
  return "changed";
}

absl::Status Invalid(absl::string_view field, absl::string_view what) {
  return Error(absl::StatusCode::kInvalidArgument, "ROLLOUT_INVALID",
               absl::StrCat("rollout.", field, " ", what, "."), {{"field", std::string(field)}});
}

}  // namespace

absl::string_view RolloutStateName(RolloutState state) {
  switch (state) {
    case RolloutState::kPlanning:
      return "PLANNING";
    case RolloutState::kReady:
      return "READY";
    case RolloutState::kRunning:
      return "RUNNING";
    case RolloutState::kPaused:
      return "PAUSED";
    case RolloutState::kCompleted:
      return "COMPLETED";
    case RolloutState::kAborted:
      return "ABORTED";
    case RolloutState::kFailed:
      return "FAILED";
  }
  return "UNSPECIFIED";
}

std::optional<RolloutState> Next(RolloutState state, RolloutEvent event) {
  using S = RolloutState;
  switch (event) {
    case RolloutEvent::kPlanned:
      if (state == S::kPlanning) return S::kReady;
      break;
    case RolloutEvent::kPlanningFailed:
      if (state == S::kPlanning) return S::kFailed;
      break;
    case RolloutEvent::kStart:
      if (state == S::kReady) return S::kRunning;
      break;
    case RolloutEvent::kPause:
    case RolloutEvent::kBudgetSpent:
      if (state == S::kRunning) return S::kPaused;
      break;
    case RolloutEvent::kResume:
      if (state == S::kPaused) return S::kRunning;
      break;
    case RolloutEvent::kAbort:
      if (!IsEnd(state)) return S::kAborted;
      break;
    case RolloutEvent::kAllEnded:
      if (state == S::kRunning || state == S::kPaused) return S::kCompleted;
      break;
  }
  return std::nullopt;
}

bool IsEnd(RolloutState state) {
  return state == RolloutState::kCompleted || state == RolloutState::kAborted ||
         state == RolloutState::kFailed;
}

bool IsLaunched(RolloutState state) {
  return state == RolloutState::kRunning || state == RolloutState::kPaused || state == RolloutState::kAborted;
}

absl::Status WrongState(RolloutState state, RolloutEvent event) {
  std::vector<absl::string_view> from;
  for (const RolloutState candidate : kAllRolloutStates) {
    if (Next(candidate, event).has_value()) from.push_back(RolloutStateName(candidate));
  }
  return Error(absl::StatusCode::kFailedPrecondition, "WRONG_STATE",
               absl::StrCat("A rollout that is ", RolloutStateName(state), " cannot be ", VerbName(event),
                            "; that goes from ", absl::StrJoin(from, ", "), "."),
               {{"state", std::string(RolloutStateName(state))}});
}

absl::Status Validate(const RolloutSpec& spec) {
  if (spec.display_name.empty() || spec.display_name.size() > kMaxDisplayName) {
    return Invalid("display_name", "must have 1 to 128 characters");
  }
  if (spec.releases.empty() || spec.releases.size() > kMaxReleases) {
    return Invalid("releases", "must name 1 to 32 releases");
  }
  absl::flat_hash_set<absl::string_view> seen;
  for (const std::string& release : spec.releases) {
    if (!ManufacturerOf(release).has_value()) {
      return Invalid("releases", "must be names manufacturers/{manufacturer}/releases/{release}");
    }
    if (!seen.insert(release).second) return Invalid("releases", "must not name a release twice");
  }
  if (spec.filter.size() > kMaxFilter) return Invalid("filter", "must have at most 2,048 characters");
  if (spec.max_concurrent < 0) return Invalid("max_concurrent", "must not be negative");
  if (spec.max_failures < 0) return Invalid("max_failures", "must not be negative");
  if (spec.assignment_timeout < kMinTimeout || spec.assignment_timeout > kMaxTimeout) {
    return Invalid("assignment_timeout", "must be between 1 second and 90 days");
  }
  return absl::OkStatus();
}

std::string Rollout::etag() const { return absl::StrCat("\"", revision, "\""); }

void Settle(Rollout& rollout, absl::Time now) {
  // PLUS-4: counted in the transaction that changed the counts, so that no replica lets one more in after it.
  if (rollout.spec.max_failures > 0 && rollout.failures_since_go >= rollout.spec.max_failures) {
    if (const std::optional<RolloutState> next = Next(rollout.state, RolloutEvent::kBudgetSpent)) {
      rollout.state = *next;
      rollout.state_reason =
          absl::StrCat(rollout.failures_since_go, " components failed, and max_failures is ",
                       rollout.spec.max_failures, ". Find out why, then resume or abort the rollout.");
    }
  }
  if (rollout.counts.waiting > 0 || rollout.counts.active > 0) return;
  if (const std::optional<RolloutState> next = Next(rollout.state, RolloutEvent::kAllEnded)) {
    // Why it was paused says nothing any more; why parts of it were stopped does.
    if (rollout.state == RolloutState::kPaused) rollout.state_reason.clear();
    rollout.state = *next;
  }
  if (IsEnd(rollout.state) && !rollout.end_time.has_value()) rollout.end_time = now;
}

int64_t Capacity(const Rollout& rollout, int64_t at_most) {
  if (rollout.state != RolloutState::kRunning) return 0;
  if (rollout.spec.max_concurrent == 0) return at_most;
  return std::clamp<int64_t>(rollout.spec.max_concurrent - rollout.counts.active, 0, at_most);
}

bool IsResourceId(absl::string_view id) {
  if (id.empty() || id.size() > 63 || !absl::ascii_isalnum(id[0])) return false;
  return std::all_of(id.begin(), id.end(), [](char c) {
    return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '.' || c == '-';
  });
}

std::optional<std::string> ManufacturerOf(absl::string_view release_name) {
  const std::vector<absl::string_view> parts = absl::StrSplit(release_name, '/');
  if (parts.size() != 4 || parts[0] != "manufacturers" || parts[2] != "releases" || !IsResourceId(parts[1]) ||
      !IsResourceId(parts[3])) {
    return std::nullopt;
  }
  return std::string(parts[1]);
}

}  // namespace countersign::rollout
