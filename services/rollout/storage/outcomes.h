#ifndef COUNTERSIGN_SERVICES_ROLLOUT_STORAGE_OUTCOMES_H_
#define COUNTERSIGN_SERVICES_ROLLOUT_STORAGE_OUTCOMES_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/rollout/domain/assignment.h"

namespace countersign::rollout {

// An update that failed on a component: what WatchFailures tells (FOTA-P1). An event of the outbox, written
// with the end of the assignment; its key is the gateway.
struct FailedUpdate {
  std::string gateway;
  std::string ecu_serial;
  std::string rollout;
  AssignmentState state = AssignmentState::kFailed;
  int failure_reason = 0;
  std::string detail;
  std::string version;  // that was to be installed
};
inline constexpr char kFailureKind[] = "failure";

// Whether an end in `state` is a failure of the device, and not only a change of mind.
bool IsFailure(AssignmentState state);

std::string EncodeFailure(const FailedUpdate& failure);
absl::StatusOr<FailedUpdate> DecodeFailure(absl::string_view payload);

}  // namespace countersign::rollout

#endif  // COUNTERSIGN_SERVICES_ROLLOUT_STORAGE_OUTCOMES_H_
