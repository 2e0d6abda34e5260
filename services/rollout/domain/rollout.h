#ifndef COUNTERSIGN_SERVICES_ROLLOUT_DOMAIN_ROLLOUT_H_
#define COUNTERSIGN_SERVICES_ROLLOUT_DOMAIN_ROLLOUT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

// Update campaigns as values and rules: nothing here knows gRPC, SQL or a clock.
namespace countersign::rollout {

// The numbers are those of Rollout.State in the API, and are stored.
enum class RolloutState {
  kPlanning = 1,
  kReady = 2,
  kRunning = 3,
  kPaused = 4,
  kCompleted = 5,
  kAborted = 6,
  kFailed = 7,
};
inline constexpr RolloutState kAllRolloutStates[] = {
    RolloutState::kPlanning,  RolloutState::kReady,   RolloutState::kRunning, RolloutState::kPaused,
    RolloutState::kCompleted, RolloutState::kAborted, RolloutState::kFailed};

// "PLANNING", ...
absl::string_view RolloutStateName(RolloutState state);

enum class RolloutEvent {
  kPlanned,         // every selected component has its release
  kPlanningFailed,  // it cannot be planned, whoever tries again
  kStart,           // the operator launches it
  kPause,           // the operator
  kBudgetSpent,     // too many components failed
  kResume,          // the operator
  kAbort,           // the operator
  kAllEnded,        // every assignment came to an end
};
inline constexpr RolloutEvent kAllRolloutEvents[] = {
    RolloutEvent::kPlanned,     RolloutEvent::kPlanningFailed, RolloutEvent::kStart, RolloutEvent::kPause,
    RolloutEvent::kBudgetSpent, RolloutEvent::kResume,         RolloutEvent::kAbort, RolloutEvent::kAllEnded};

// The state after `event` in `state`; nullopt when the event is not for this state.
std::optional<RolloutState> Next(RolloutState state, RolloutEvent event);

// Whether nothing will change any more but assignments that an abort found at work.
bool IsEnd(RolloutState state);

// Whether an operator has launched it and it has not been called off: only then may the Director name its
// images. Installations that an abort found beyond recall run to their end, so ABORTED counts while they do.
bool IsLaunched(RolloutState state);

// FAILED_PRECONDITION (WRONG_STATE) that names the verb, the state and the states that it starts from.
absl::Status WrongState(RolloutState state, RolloutEvent event);

// How many assignments stand where. waiting + active + succeeded + failed + cancelled = total.
struct AssignmentCounts {
  int64_t total = 0;
  int64_t waiting = 0;
  int64_t active = 0;
  int64_t succeeded = 0;
  int64_t failed = 0;
  int64_t cancelled = 0;

  friend bool operator==(const AssignmentCounts&, const AssignmentCounts&) = default;
};

// What an operator asks for.
struct RolloutSpec {
  std::string display_name;
  std::vector<std::string>
      releases;  // manufacturers/{manufacturer}/releases/{release}, in order of preference
  std::string filter;
  int64_t max_concurrent = 0;  // 0: no limit
  int64_t max_failures = 0;    // 0: never pauses
  absl::Duration assignment_timeout = absl::Hours(24);
  bool bundle = false;  // the components of one gateway change together or not at all
};

inline constexpr size_t kMaxDisplayName = 128;
inline constexpr size_t kMaxReleases = 32;
inline constexpr size_t kMaxFilter = 2048;
inline constexpr absl::Duration kMinTimeout = absl::Seconds(1);
inline constexpr absl::Duration kMaxTimeout = absl::Hours(24 * 90);

// INVALID_ARGUMENT (ROLLOUT_INVALID) that names the field and what it may be.
absl::Status Validate(const RolloutSpec& spec);

struct Rollout {
  std::string id;
  RolloutSpec spec;
  RolloutState state = RolloutState::kPlanning;
  std::string state_reason;
  std::string created_by;
  absl::Time create_time;
  std::string launched_by;  // empty until it is launched
  std::optional<absl::Time> launch_time;
  std::optional<absl::Time> end_time;
  AssignmentCounts counts;
  int64_t failures_since_go = 0;  // since it was launched or resumed last: what max_failures is held against
  int64_t revision = 1;           // rises with every change: the etag

  std::string etag() const;
};

// Applies what ended assignments mean to the rollout, after its counts were changed: pauses it when its
// failures are used up, ends it when nothing is left. Whoever changes counts calls it in the same
// transaction.
void Settle(Rollout& rollout, absl::Time now);

// How many more may be let in now: 0 unless it is RUNNING.
int64_t Capacity(const Rollout& rollout, int64_t at_most);

// Whether `id` is the id of a release or rollout within a resource name: 1 to 63 of [a-z0-9.-], first a
// letter or digit.
bool IsResourceId(absl::string_view id);

// The manufacturer's id in manufacturers/{manufacturer}/releases/{release}; nullopt if `name` is no such
// name.
std::optional<std::string> ManufacturerOf(absl::string_view release_name);

}  // namespace countersign::rollout

#endif  // COUNTERSIGN_SERVICES_ROLLOUT_DOMAIN_ROLLOUT_H_
