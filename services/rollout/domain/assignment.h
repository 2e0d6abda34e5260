#ifndef COUNTERSIGN_SERVICES_ROLLOUT_DOMAIN_ASSIGNMENT_H_
#define COUNTERSIGN_SERVICES_ROLLOUT_DOMAIN_ASSIGNMENT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "services/rollout/domain/release.h"
#include "services/rollout/domain/rollout.h"

// One component's part in a rollout.
namespace countersign::rollout {

// Where it stands. The numbers are stored, and SQL relies on their order: below kFirstActive it waits, from
// there it is let in, from kFirstEnded on it is over.
enum class AssignmentState {
  kPlanned = 1,          // nobody has been asked for consent
  kAwaitingConsent = 2,  // the user has been asked
  kDeferred = 3,         // the user put it off
  kConsented = 4,        // waits for its turn
  kAdmitted = 10,        // let in: the Director names it
  kDownloading = 11,
  kDownloaded = 12,
  kAwaitingPrecondition = 13,
  kUpdating = 14,
  kRebootPending = 15,
  kVerifying = 16,
  kSucceeded = 20,  // a verified report proved it
  kFailed = 21,
  kRolledBack = 22,
  kCancelled = 23,
};
inline constexpr int kFirstActive = 10;
inline constexpr int kFirstEnded = 20;
inline constexpr AssignmentState kAllAssignmentStates[] = {
    AssignmentState::kPlanned,    AssignmentState::kAwaitingConsent,
    AssignmentState::kDeferred,   AssignmentState::kConsented,
    AssignmentState::kAdmitted,   AssignmentState::kDownloading,
    AssignmentState::kDownloaded, AssignmentState::kAwaitingPrecondition,
    AssignmentState::kUpdating,   AssignmentState::kRebootPending,
    AssignmentState::kVerifying,  AssignmentState::kSucceeded,
    AssignmentState::kFailed,     AssignmentState::kRolledBack,
    AssignmentState::kCancelled};

inline bool IsWaiting(AssignmentState state) { return static_cast<int>(state) < kFirstActive; }
inline bool IsEnded(AssignmentState state) { return static_cast<int>(state) >= kFirstEnded; }
inline bool IsActive(AssignmentState state) { return !IsWaiting(state) && !IsEnded(state); }
// Whether the component may be writing: from there on nothing calls it back.
inline bool IsBeyondRecall(AssignmentState state) {
  return IsActive(state) && state >= AssignmentState::kUpdating;
}

enum class AssignmentEvent {
  kConsentPending,    // the user has been asked
  kConsentGranted,    // by a policy or by the user
  kConsentDenied,     // by the user
  kConsentDeferred,   // by the user
  kDeferralOver,      // the time to which it was put off has come: ask again
  kConsentWithdrawn,  // by the user; too late from UPDATING on
  kConsentExpired,    // the grant's time is over; no matter from UPDATING on
  kAdmitted,          // its turn has come
  kReportedDownloading,
  kReportedDownloaded,
  kReportedAwaitingPrecondition,
  kReportedUpdating,
  kReportedRebootPending,
  kReportedVerifying,
  kReportedFailed,
  kReportedRolledBack,
  kTimedOut,         // silent for longer than the rollout allows
  kImageProved,      // a verified report says that the component runs the image
  kRefusedBySigner,  // the Director's signer does not find the image approved
  kCalledOff,        // the rollout was aborted
  kPackageEnded,     // the release was revoked or withdrawn; too late from UPDATING on
};
inline constexpr AssignmentEvent kAllAssignmentEvents[] = {AssignmentEvent::kConsentPending,
                                                           AssignmentEvent::kConsentGranted,
                                                           AssignmentEvent::kConsentDenied,
                                                           AssignmentEvent::kConsentDeferred,
                                                           AssignmentEvent::kDeferralOver,
                                                           AssignmentEvent::kConsentWithdrawn,
                                                           AssignmentEvent::kConsentExpired,
                                                           AssignmentEvent::kAdmitted,
                                                           AssignmentEvent::kReportedDownloading,
                                                           AssignmentEvent::kReportedDownloaded,
                                                           AssignmentEvent::kReportedAwaitingPrecondition,
                                                           AssignmentEvent::kReportedUpdating,
                                                           AssignmentEvent::kReportedRebootPending,
                                                           AssignmentEvent::kReportedVerifying,
                                                           AssignmentEvent::kReportedFailed,
                                                           AssignmentEvent::kReportedRolledBack,
                                                           AssignmentEvent::kTimedOut,
                                                           AssignmentEvent::kImageProved,
                                                           AssignmentEvent::kRefusedBySigner,
                                                           AssignmentEvent::kCalledOff,
                                                           AssignmentEvent::kPackageEnded};

// The state after `event` in `state`; nullopt when it is not for this state, and nothing changes. An event
// that was taken already (a repeated report of the phase that it has) gives the same state again. A phase
// never goes back, and nothing leaves an end.
std::optional<AssignmentState> Next(AssignmentState state, AssignmentEvent event);

// Why an assignment ended without the image. The numbers are those of FailureReason in the API, and are
// stored.
enum class FailureReason {
  kNone = 0,
  kSignatureInvalid = 9,
  kTargetMismatch = 10,
  kUserRejected = 11,
  kTimeout = 12,
  kDependency = 13,
  kConflict = 14,
  kRollbackAttempt = 16,
  kNotApproved = 17,
};

struct Assignment {
  std::string gateway;
  std::string ecu_serial;
  std::string rollout;
  std::string hardware_id;
  int release = 0;  // index into the rollout's releases
  std::string from_version;
  int64_t from_release_counter = 0;
  int64_t from_report_counter =
      0;  // of the report that it was planned from: older ones say nothing about the update
  AssignmentState state = AssignmentState::kPlanned;
  int failure_reason = 0;
  std::string failure_detail;
  std::string consent_record;  // gateways/{gateway}/records/{record}
  std::string consented_by;    // the user
  std::string signed_consent;  // the record's bytes
  std::optional<absl::Time> consent_until;
  bool proxied = false;
  std::optional<absl::Time> admit_time;
  absl::Time update_time;
  std::optional<absl::Time> due_time;  // when a worker has to look at it
};

// When a worker has to look at `assignment` after it went to its present state: at once to ask for consent or
// to let it in, when its deferral or its time is over, and never while only news from outside moves it.
std::optional<absl::Time> DueTime(const Assignment& assignment, const Rollout& rollout, absl::Time now);

// Moves `counts` and the failure budget as an assignment goes from `before` to `after`.
void Count(Rollout& rollout, AssignmentState before, AssignmentState after);

// A component as the inventory tells it.
struct Component {
  std::string gateway;
  std::string ecu_serial;
  std::string hardware_id;
  std::string manufacturer;
  std::string model;
  std::string version;
  std::string sha256;
  int64_t release_counter = 0;
  int64_t report_counter = 0;
  bool proved = false;       // its last report proved itself: by its own key or by its gateway's proxy key
  bool proxied = false;      // by the latter
  bool modified = false;     // it proved that it runs what nobody published
  bool quarantined = false;  // it was ordered to stop operating (FOTA-R3)
};

// Whether the inventory's word about `component` proves that `assignment`'s image with `sha256` runs
// (FOTA-H): a report that proves itself, later than the one that the assignment was planned from, of exactly
// this image.
bool Proves(const Component& component, const Assignment& assignment, absl::string_view sha256);

// The first of `releases` that fits `component`: of its manufacturer, for its model and hardware, with a
// counter above the installed one, and installable from the installed version. nullopt if none does, and for
// a component that has not proved itself (HOME-1): nobody knows what it is.
std::optional<int> FirstFitting(const std::vector<Release>& releases, const Component& component);

}  // namespace countersign::rollout

#endif  // COUNTERSIGN_SERVICES_ROLLOUT_DOMAIN_ASSIGNMENT_H_
