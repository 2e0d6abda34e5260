#ifndef COUNTERSIGN_SERVICES_ROLLOUT_API_CONVERT_H_
#define COUNTERSIGN_SERVICES_ROLLOUT_API_CONVERT_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "countersign/rollout/v1/rollout.pb.h"
#include "services/rollout/domain/assignment.h"
#include "services/rollout/domain/rollout.h"
#include "services/rollout/storage/outcomes.h"
#include "services/rollout/storage/rollout_store.h"

// Between the API's messages and the domain's values.
namespace countersign::rollout {

v1::Rollout ToProto(const Rollout& rollout);
v1::Assignment ToProto(const AssignmentView& view);
// Without its token.
v1::WatchFailuresResponse ToProto(const FailedUpdate& failure, absl::Time time);
countersign::common::v1::UpdatePhase PhaseOf(AssignmentState state);
// "DOWNLOADING", ...: the phase's name without its prefix, for metrics.
std::string PhaseName(AssignmentState state);
// "TIMEOUT", ...; "NONE" for 0.
std::string FailureReasonName(int reason);

// All errors are INVALID_ARGUMENT, and name the field.
absl::StatusOr<RolloutSpec> SpecOf(const v1::Rollout& rollout);
// The id in rollouts/{rollout}: (NAME_INVALID).
absl::StatusOr<std::string> RolloutIdOf(absl::string_view name);
// The same of a parent; nullopt for rollouts/-.
absl::StatusOr<std::optional<std::string>> ParentOf(absl::string_view parent);
// (PROGRESS_INVALID).
absl::StatusOr<std::vector<Progress>> ProgressOf(const v1::ReportProgressRequest& request);

}  // namespace countersign::rollout

#endif  // COUNTERSIGN_SERVICES_ROLLOUT_API_CONVERT_H_
