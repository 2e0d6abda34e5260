#include "services/rollout/workers/consent_asker.h"

#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status/macros.h"

namespace countersign::rollout {
namespace {

// A release's statement has up to some ten kilobytes, and a message four megabytes.
constexpr int kBatch = 100;
constexpr int kClosedAtOnce = 1000;
constexpr absl::Duration kLease = absl::Seconds(30);
constexpr absl::Duration kTimeout = absl::Seconds(20);

}  // namespace

absl::StatusOr<bool> ConsentAsker::Ask(const std::string& rollout) {
  ASSIGN_OR_RETURN(const std::vector<AssignmentView> claimed,
                   store_.ClaimForConsent(rollout, kBatch, kLease));
  if (claimed.empty()) return false;
  const absl::StatusOr<std::vector<ConsentDecision>> decisions =
      consent_.Request(claimed, store_.Now() + kTimeout);
  if (!decisions.ok()) {
    RETURN_IF_ERROR(store_.ReturnClaims(claimed));
    if (!absl::IsInvalidArgument(decisions.status())) return decisions.status();
    // It would be refused for ever: somebody has to see to the release.
    RETURN_IF_ERROR(store_.PauseBecause(
        rollout, absl::StrCat("Consent cannot be asked for: ", decisions.status().message())));
    return false;
  }
  RETURN_IF_ERROR(store_.Decide(*decisions));
  return claimed.size() == kBatch;
}

absl::StatusOr<bool> ConsentAsker::Close() {
  ASSIGN_OR_RETURN(const std::vector<AssignmentKey> keys, store_.ClosingQuestions(kClosedAtOnce));
  if (keys.empty()) return false;
  RETURN_IF_ERROR(consent_.Close(keys, store_.Now() + kTimeout));
  RETURN_IF_ERROR(store_.ForgetClosing(keys));
  return keys.size() == kClosedAtOnce;
}

absl::StatusOr<bool> ConsentAsker::Round(std::stop_token stop) {
  ASSIGN_OR_RETURN(bool more, Close());
  ASSIGN_OR_RETURN(const std::vector<Rollout> rollouts, store_.Open());
  for (const Rollout& rollout : rollouts) {
    if (stop.stop_requested()) return false;
    if (rollout.state != RolloutState::kRunning || rollout.counts.waiting == 0) continue;
    ASSIGN_OR_RETURN(const bool again, Ask(rollout.id));
    more = more || again;
  }
  return more;
}

absl::Status ConsentAsker::AskAgain(std::stop_token stop) {
  std::optional<AssignmentKey> after;
  while (!stop.stop_requested()) {
    ASSIGN_OR_RETURN(const std::vector<AssignmentView> views, store_.Recallable(kBatch, after));
    if (views.empty()) return absl::OkStatus();
    ASSIGN_OR_RETURN(const std::vector<ConsentDecision> decisions,
                     consent_.Request(views, store_.Now() + kTimeout));
    RETURN_IF_ERROR(store_.Decide(decisions));
    const Assignment& last = views.back().assignment;
    after = AssignmentKey{last.gateway, last.ecu_serial, last.rollout};
  }
  return absl::CancelledError("stopping");
}

}  // namespace countersign::rollout
