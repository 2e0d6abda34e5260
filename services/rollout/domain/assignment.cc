#include "services/rollout/domain/assignment.h"

#include <algorithm>

namespace countersign::rollout {
namespace {

using S = AssignmentState;

// The phase that a progress report speaks of; nullopt for other events.
std::optional<S> ReportedPhase(AssignmentEvent event) {
  switch (event) {
    case AssignmentEvent::kReportedDownloading:
      return S::kDownloading;
    case AssignmentEvent::kReportedDownloaded:
      return S::kDownloaded;
    case AssignmentEvent::kReportedAwaitingPrecondition:
      return S::kAwaitingPrecondition;
    case AssignmentEvent::kReportedUpdating:
      return S::kUpdating;
    case AssignmentEvent::kReportedRebootPending:
      return S::kRebootPending;
    case AssignmentEvent::kReportedVerifying:
      return S::kVerifying;
    default:
      return std::nullopt;
  }
}

int64_t& CountOf(AssignmentCounts& counts, S state) {
  if (IsWaiting(state)) return counts.waiting;
  if (IsActive(state)) return counts.active;
  if (state == S::kSucceeded) return counts.succeeded;
  if (state == S::kCancelled) return counts.cancelled;
  return counts.failed;
}

bool Contains(const std::vector<std::string>& values, const std::string& value) {
  return std::find(values.begin(), values.end(), value) != values.end();
}

bool Fits(const Release& release, const Component& component) {
  if (release.manufacturer != component.manufacturer || !Contains(release.models, component.model) ||
      !Contains(release.hardware_ids, component.hardware_id)) {
    return false;
  }
  // Image rollback: the counter never falls, and what is installed already is no update.
  if (release.release_counter <= component.release_counter || release.image.sha256 == component.sha256)
    return false;
  if (release.minimum_installed_version.empty()) return true;
  const absl::StatusOr<Version> minimum =
      ParseVersion(release.version_format, release.minimum_installed_version);
  const absl::StatusOr<Version> installed = ParseVersion(release.version_format, component.version);
  // What cannot be compared does not fit: an update over the wrong base may brick the device.
  return minimum.ok() && installed.ok() && *installed >= *minimum;
}

}  // namespace

std::optional<AssignmentState> Next(AssignmentState state, AssignmentEvent event) {
  if (IsEnded(state)) return std::nullopt;
  if (const std::optional<S> phase = ReportedPhase(event)) {
    if (IsActive(state) && *phase >= state) return *phase;
    return std::nullopt;
  }
  switch (event) {
    case AssignmentEvent::kConsentPending:
      if (state == S::kPlanned || state == S::kAwaitingConsent) return S::kAwaitingConsent;
      break;
    case AssignmentEvent::kConsentGranted:
      if (IsWaiting(state)) return S::kConsented;
      break;
    case AssignmentEvent::kConsentDenied:
      if (IsWaiting(state)) return S::kCancelled;
      break;
    case AssignmentEvent::kConsentDeferred:
      // An answer that was overtaken by a grant must not take the grant back: only a withdrawal does.
      if (IsWaiting(state) && state != S::kConsented) return S::kDeferred;
      break;
    case AssignmentEvent::kDeferralOver:
      if (state == S::kDeferred) return S::kPlanned;
      break;
    case AssignmentEvent::kConsentWithdrawn:
    case AssignmentEvent::kConsentExpired:
    case AssignmentEvent::kCalledOff:
    case AssignmentEvent::kPackageEnded:
      // PLUS-2: withdrawn until the installation starts; a half-written device would be worse than either
      // image.
      if (!IsBeyondRecall(state)) return S::kCancelled;
      break;
    case AssignmentEvent::kAdmitted:
      if (state == S::kConsented) return S::kAdmitted;
      break;
    case AssignmentEvent::kReportedFailed:
    case AssignmentEvent::kTimedOut:
      if (IsActive(state)) return S::kFailed;
      break;
    case AssignmentEvent::kReportedRolledBack:
      if (IsActive(state)) return S::kRolledBack;
      break;
    case AssignmentEvent::kImageProved:
      // Progress reports may be lost, the signed report decides. What was never let in got the image
      // elsewhere.
      return IsActive(state) ? S::kSucceeded : S::kCancelled;
    case AssignmentEvent::kRefusedBySigner:
      if (IsActive(state) && !IsBeyondRecall(state)) return S::kFailed;
      break;
    default:
      break;
  }
  return std::nullopt;
}

void Count(Rollout& rollout, AssignmentState before, AssignmentState after) {
  if (before == after) return;
  --CountOf(rollout.counts, before);
  ++CountOf(rollout.counts, after);
  if (after == S::kFailed || after == S::kRolledBack) ++rollout.failures_since_go;
}

std::optional<absl::Time> DueTime(const Assignment& assignment, const Rollout& rollout, absl::Time now) {
  switch (assignment.state) {
    case S::kPlanned:
    case S::kConsented:
      return now;
    case S::kDeferred:
      return assignment.consent_until.value_or(now);
    case S::kAwaitingConsent:
      return std::nullopt;
    default:
      break;
  }
  if (!IsActive(assignment.state)) return std::nullopt;
  return assignment.admit_time.value_or(now) + rollout.spec.assignment_timeout;
}

bool Proves(const Component& component, const Assignment& assignment, absl::string_view sha256) {
  return component.proved && !component.modified && component.gateway == assignment.gateway &&
         component.ecu_serial == assignment.ecu_serial &&
         component.report_counter > assignment.from_report_counter && component.sha256 == sha256;
}

std::optional<int> FirstFitting(const std::vector<Release>& releases, const Component& component) {
  if (!component.proved) return std::nullopt;
  for (size_t i = 0; i < releases.size(); ++i) {
    if (Fits(releases[i], component)) return static_cast<int>(i);
  }
  return std::nullopt;
}

}  // namespace countersign::rollout
