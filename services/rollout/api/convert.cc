#include "services/rollout/api/convert.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "common/crypto/hex.h"
#include "common/status/errors.h"
#include "common/status/macros.h"

namespace countersign::rollout {
namespace {

namespace common_v1 = countersign::common::v1;

constexpr size_t kMaxProgress = 1000;
constexpr size_t kMaxDetail = 1000;

google::protobuf::Timestamp TimeProto(absl::Time time) {
  google::protobuf::Timestamp proto;
  const int64_t seconds = absl::ToUnixSeconds(time);
  proto.set_seconds(seconds);
  proto.set_nanos(static_cast<int32_t>((time - absl::FromUnixSeconds(seconds)) / absl::Nanoseconds(1)));
  return proto;
}

google::protobuf::Duration DurationProto(absl::Duration duration) {
  google::protobuf::Duration proto;
  absl::Duration rest;
  proto.set_seconds(absl::IDivDuration(duration, absl::Seconds(1), &rest));
  proto.set_nanos(static_cast<int32_t>(rest / absl::Nanoseconds(1)));
  return proto;
}

int32_t Count32(int64_t count) { return static_cast<int32_t>(std::min<int64_t>(count, INT32_MAX)); }

absl::Status Invalid(absl::string_view reason, absl::string_view message) {
  return Error(absl::StatusCode::kInvalidArgument, reason, message);
}

bool IsText(absl::string_view text) {
  return std::none_of(text.begin(), text.end(), [](char c) { return absl::ascii_iscntrl(c); });
}

std::optional<AssignmentEvent> EventOf(common_v1::UpdatePhase phase) {
  switch (phase) {
    case common_v1::UPDATE_PHASE_DOWNLOADING:
      return AssignmentEvent::kReportedDownloading;
    case common_v1::UPDATE_PHASE_DOWNLOADED:
      return AssignmentEvent::kReportedDownloaded;
    case common_v1::UPDATE_PHASE_AWAITING_PRECONDITION:
      return AssignmentEvent::kReportedAwaitingPrecondition;
    case common_v1::UPDATE_PHASE_UPDATING:
      return AssignmentEvent::kReportedUpdating;
    case common_v1::UPDATE_PHASE_REBOOT_PENDING:
      return AssignmentEvent::kReportedRebootPending;
    case common_v1::UPDATE_PHASE_VERIFYING:
      return AssignmentEvent::kReportedVerifying;
    case common_v1::UPDATE_PHASE_FAILED:
      return AssignmentEvent::kReportedFailed;
    case common_v1::UPDATE_PHASE_ROLLED_BACK:
      return AssignmentEvent::kReportedRolledBack;
    default:
      return std::nullopt;
  }
}

}  // namespace

v1::WatchFailuresResponse ToProto(const FailedUpdate& failure, absl::Time time) {
  v1::WatchFailuresResponse proto;
  proto.set_gateway(failure.gateway);
  proto.set_ecu_serial(failure.ecu_serial);
  proto.set_rollout(absl::StrCat("rollouts/", failure.rollout));
  proto.set_version(failure.version);
  proto.set_phase(PhaseOf(failure.state));
  proto.set_failure_reason(static_cast<common_v1::FailureReason>(failure.failure_reason));
  proto.set_failure_detail(failure.detail);
  *proto.mutable_time() = TimeProto(time);
  return proto;
}

common_v1::UpdatePhase PhaseOf(AssignmentState state) {
  switch (state) {
    case AssignmentState::kPlanned:
    case AssignmentState::kConsented:
    case AssignmentState::kAdmitted:
      return common_v1::UPDATE_PHASE_IDLE;
    case AssignmentState::kAwaitingConsent:
      return common_v1::UPDATE_PHASE_AWAITING_CONSENT;
    case AssignmentState::kDeferred:
      return common_v1::UPDATE_PHASE_DEFERRED;
    case AssignmentState::kDownloading:
      return common_v1::UPDATE_PHASE_DOWNLOADING;
    case AssignmentState::kDownloaded:
      return common_v1::UPDATE_PHASE_DOWNLOADED;
    case AssignmentState::kAwaitingPrecondition:
      return common_v1::UPDATE_PHASE_AWAITING_PRECONDITION;
    case AssignmentState::kUpdating:
      return common_v1::UPDATE_PHASE_UPDATING;
    case AssignmentState::kRebootPending:
      return common_v1::UPDATE_PHASE_REBOOT_PENDING;
    case AssignmentState::kVerifying:
      return common_v1::UPDATE_PHASE_VERIFYING;
    case AssignmentState::kSucceeded:
      return common_v1::UPDATE_PHASE_SUCCEEDED;
    case AssignmentState::kFailed:
      return common_v1::UPDATE_PHASE_FAILED;
    case AssignmentState::kRolledBack:
      return common_v1::UPDATE_PHASE_ROLLED_BACK;
    case AssignmentState::kCancelled:
      return common_v1::UPDATE_PHASE_CANCELLED;
  }
  return common_v1::UPDATE_PHASE_UNSPECIFIED;
}

std::string PhaseName(AssignmentState state) {
  return std::string(absl::StripPrefix(common_v1::UpdatePhase_Name(PhaseOf(state)), "UPDATE_PHASE_"));
}

std::string FailureReasonName(int reason) {
  if (reason == 0 || !common_v1::FailureReason_IsValid(reason)) return "NONE";
  return std::string(absl::StripPrefix(
      common_v1::FailureReason_Name(static_cast<common_v1::FailureReason>(reason)), "FAILURE_REASON_"));
}

v1::Rollout ToProto(const Rollout& rollout) {
  v1::Rollout proto;
  proto.set_name(absl::StrCat("rollouts/", rollout.id));
  proto.set_display_name(rollout.spec.display_name);
  for (const std::string& release : rollout.spec.releases) proto.add_releases(release);
  proto.set_filter(rollout.spec.filter);
  proto.set_max_concurrent(Count32(rollout.spec.max_concurrent));
  proto.set_max_failures(Count32(rollout.spec.max_failures));
  *proto.mutable_assignment_timeout() = DurationProto(rollout.spec.assignment_timeout);
  proto.set_state(static_cast<v1::Rollout::State>(rollout.state));
  proto.set_state_reason(rollout.state_reason);
  proto.set_created_by(rollout.created_by);
  *proto.mutable_create_time() = TimeProto(rollout.create_time);
  proto.set_launched_by(rollout.launched_by);
  if (rollout.launch_time.has_value()) *proto.mutable_launch_time() = TimeProto(*rollout.launch_time);
  if (rollout.end_time.has_value()) *proto.mutable_end_time() = TimeProto(*rollout.end_time);
  v1::AssignmentCounts& counts = *proto.mutable_counts();
  counts.set_total(Count32(rollout.counts.total));
  counts.set_waiting(Count32(rollout.counts.waiting));
  counts.set_active(Count32(rollout.counts.active));
  counts.set_succeeded(Count32(rollout.counts.succeeded));
  counts.set_failed(Count32(rollout.counts.failed));
  counts.set_cancelled(Count32(rollout.counts.cancelled));
  proto.set_etag(rollout.etag());
  proto.set_bundle(rollout.spec.bundle);
  return proto;
}

v1::Assignment ToProto(const AssignmentView& view) {
  const Assignment& assignment = view.assignment;
  const Release& release = view.release;
  v1::Assignment proto;
  proto.set_name(absl::StrCat("rollouts/", assignment.rollout, "/assignments/", assignment.ecu_serial));
  proto.set_gateway(assignment.gateway);
  proto.set_ecu_serial(assignment.ecu_serial);
  proto.set_hardware_id(assignment.hardware_id);
  proto.set_release(release.name);
  proto.mutable_image()->set_target_path(release.image.target_path);
  proto.mutable_image()->set_length_bytes(release.image.length);
  proto.mutable_image()->set_sha256(release.image.sha256);
  proto.set_from_version(assignment.from_version);
  proto.set_to_version(release.version);
  proto.set_phase(PhaseOf(assignment.state));
  proto.set_failure_reason(static_cast<common_v1::FailureReason>(assignment.failure_reason));
  proto.set_failure_detail(assignment.failure_detail);
  proto.set_consent_record(assignment.consent_record);
  proto.set_consented_by(assignment.consented_by);
  for (const std::string& key : release.manufacturer_key_ids) proto.add_manufacturer_key_ids(key);
  proto.set_approved_by(release.approved_by);
  proto.set_proxied(assignment.proxied);
  if (assignment.admit_time.has_value()) *proto.mutable_admit_time() = TimeProto(*assignment.admit_time);
  *proto.mutable_update_time() = TimeProto(assignment.update_time);
  return proto;
}

absl::StatusOr<RolloutSpec> SpecOf(const v1::Rollout& rollout) {
  RolloutSpec spec;
  spec.display_name = rollout.display_name();
  spec.releases.assign(rollout.releases().begin(), rollout.releases().end());
  spec.filter = rollout.filter();
  spec.max_concurrent = rollout.max_concurrent();
  spec.max_failures = rollout.max_failures();
  spec.bundle = rollout.bundle();
  if (rollout.has_assignment_timeout()) {
    spec.assignment_timeout = absl::Seconds(rollout.assignment_timeout().seconds()) +
                              absl::Nanoseconds(rollout.assignment_timeout().nanos());
  }
  if (!IsText(spec.display_name) || !IsText(spec.filter)) {
    return Invalid("ROLLOUT_INVALID",
                   "rollout.display_name and rollout.filter must not have control characters.");
  }
  RETURN_IF_ERROR(Validate(spec));
  return spec;
}

absl::StatusOr<std::string> RolloutIdOf(absl::string_view name) {
  absl::string_view id = name;
  if (!absl::ConsumePrefix(&id, "rollouts/") || !IsResourceId(id)) {
    return Invalid("NAME_INVALID", "A rollout's name is rollouts/{rollout}.");
  }
  return std::string(id);
}

absl::StatusOr<std::optional<std::string>> ParentOf(absl::string_view parent) {
  if (parent == "rollouts/-") return std::optional<std::string>();
  ASSIGN_OR_RETURN(std::string id, RolloutIdOf(parent));
  return std::optional<std::string>(std::move(id));
}

absl::StatusOr<std::vector<Progress>> ProgressOf(const v1::ReportProgressRequest& request) {
  if (request.progress_size() < 1 || request.progress_size() > static_cast<int>(kMaxProgress)) {
    return Invalid("PROGRESS_INVALID", "progress must have 1 to 1,000 entries.");
  }
  std::vector<Progress> all;
  for (const v1::Progress& proto : request.progress()) {
    Progress progress;
    progress.ecu_serial = proto.ecu_serial();
    progress.sha256 = proto.sha256();
    progress.failure_reason = proto.failure_reason();
    progress.failure_detail = proto.failure_detail();
    if (progress.ecu_serial.empty() || progress.ecu_serial.size() > 64 || !IsText(progress.ecu_serial)) {
      return Invalid("PROGRESS_INVALID", "progress.ecu_serial must have 1 to 64 characters.");
    }
    if (!crypto::IsSha256Hex(progress.sha256)) {
      return Invalid("PROGRESS_INVALID", "progress.sha256 must be 64 lower-case hexadecimal digits.");
    }
    const std::optional<AssignmentEvent> event = EventOf(proto.phase());
    if (!event.has_value()) {
      return Invalid(
          "PROGRESS_INVALID",
          absl::StrCat("progress.phase must be DOWNLOADING, DOWNLOADED, AWAITING_PRECONDITION, UPDATING, "
                       "REBOOT_PENDING, VERIFYING, FAILED or ROLLED_BACK, and is ",
                       common_v1::UpdatePhase_Name(proto.phase()),
                       ". Only a signed report completes an update."));
    }
    progress.event = *event;
    const bool ended =
        *event == AssignmentEvent::kReportedFailed || *event == AssignmentEvent::kReportedRolledBack;
    if (ended &&
        (progress.failure_reason == 0 || !common_v1::FailureReason_IsValid(progress.failure_reason))) {
      return Invalid("PROGRESS_INVALID", "progress.failure_reason is required for FAILED and ROLLED_BACK.");
    }
    if (progress.failure_detail.size() > kMaxDetail || absl::StrContains(progress.failure_detail, '\0')) {
      return Invalid("PROGRESS_INVALID", "progress.failure_detail must be text of at most 1,000 characters.");
    }
    all.push_back(std::move(progress));
  }
  return all;
}

}  // namespace countersign::rollout
