#include "services/rollout/api/director.h"

#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/log/log.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/trust/envelope.h"
#include "common/trust/metadata.h"
#include "common/trust/reasons.h"
#include "common/trust/verify.h"

namespace countersign::rollout {
namespace {

constexpr int kMaxTries = 5;

absl::Status FileUnknown(absl::string_view name) {
  return Error(absl::StatusCode::kNotFound, "FILE_UNKNOWN",
               absl::StrCat("The Director repository has no file \"", name,
                            "\"; begin with timestamp.json, which names the others."));
}

absl::Status NoRoot() {
  return Error(absl::StatusCode::kNotFound, "NO_ROOT",
               "The Director has no root yet: an operator has to publish one with PublishDirectorRoot.");
}

// The API's reasons for what common/trust refuses in a root.
absl::Status RootRefused(const absl::Status& status) {
  const std::string reason = ReasonOf(status);
  const auto refuse = [&](absl::StatusCode code, absl::string_view api_reason) {
    return Error(code, api_reason, absl::StrCat("The root is refused: ", status.message()),
                 {{"cause", reason}});
  };
  if (reason == trust::kThresholdNotMet || reason == trust::kSignatureInvalid) {
    return refuse(absl::StatusCode::kInvalidArgument, "THRESHOLD_NOT_MET");
  }
  if (reason == trust::kExpired) return refuse(absl::StatusCode::kInvalidArgument, "EXPIRED_METADATA");
  if (reason == trust::kRootSkipped || reason == trust::kMetadataRollback) {
    return refuse(absl::StatusCode::kFailedPrecondition, "VERSION_NOT_NEXT");
  }
  return refuse(absl::StatusCode::kInvalidArgument, "METADATA_MALFORMED");
}

// What a refusal of the signer means for the assignment.
FailureReason FailureOf(const std::string& reason) {
  if (reason == trust::kTargetMismatch || reason == trust::kHardwareMismatch ||
      reason == trust::kUnknownEcu) {
    return FailureReason::kTargetMismatch;
  }
  if (reason == trust::kRollbackAttempt) return FailureReason::kRollbackAttempt;
  if (reason == trust::kNotApproved || reason == kNotInLog) return FailureReason::kNotApproved;
  if (reason == trust::kNoConsent || reason == trust::kConsentMismatch) return FailureReason::kUserRejected;
  return FailureReason::kSignatureInvalid;
}

DirectorCandidate CandidateOf(const AssignmentView& view, bool ahead) {
  return {view.assignment,
          view.release,
          view.rollout_state,
          view.launched_by,
          view.bundle ? view.assignment.rollout : std::string(),
          ahead};
}

}  // namespace

Director::Director(DirectorStore& store, RolloutStore& rollouts, const DirectorSigner& signer,
                   const Clock& clock, metrics::Registry& registry)
    : store_(store),
      rollouts_(rollouts),
      signer_(signer),
      clock_(clock),
      seconds_(
          registry
              .AddHistogram("countersign_rollout_director_signing_seconds",
                            "Time to bring a gateway's Director metadata up to date, verification included.")
              .With()),
      refusals_(registry.AddCounter("countersign_rollout_director_refusals_total",
                                    "Entries that the Director's signer refused, by reason.", {"reason"})) {}

absl::StatusOr<int64_t> Director::PublishRoot(const std::string& bytes) {
  if (bytes.empty() || bytes.size() > kMaxRootBytes) {
    return Error(absl::StatusCode::kInvalidArgument, "METADATA_MALFORMED", "A root has 1 to 262,144 bytes.");
  }
  ASSIGN_OR_RETURN(const std::optional<DirectorRoot> latest, store_.LatestRoot());
  if (latest.has_value() && latest->content == bytes) return latest->version;

  absl::StatusOr<trust::Root> root = absl::InternalError("not verified");
  if (latest.has_value()) {
    ASSIGN_OR_RETURN(const trust::Envelope envelope, trust::Envelope::Parse(latest->content));
    ASSIGN_OR_RETURN(const trust::Root current, trust::Root::Parse(envelope));
    root = trust::VerifyRootSuccession(current, bytes);
  } else {
    root = trust::VerifyFirstRoot(bytes);
  }
  if (!root.ok()) return RootRefused(root.status());
  if (absl::Status status = trust::CheckNotExpired("root", root->expires, clock_.Now()); !status.ok()) {
    return RootRefused(status);
  }
  RETURN_IF_ERROR(signer_.CheckRoot(*root));
  RETURN_IF_ERROR(store_.PublishRoot({root->version, bytes}, clock_.Now()));
  log::Info("director root published", {{"version", root->version}});
  return root->version;
}

std::string Director::Under(const DirectorState& state) const {
  return absl::StrCat(state.root_version, ":", signer_.fingerprint());
}

bool Director::NeedsTargets(const DirectorState& state, absl::Time now) const {
  return state.metadata.versions.targets == 0 || state.revision != state.signed_revision ||
         state.signed_under != Under(state) || now >= state.metadata.refresh_targets;
}

absl::StatusOr<std::string> Director::File(const std::string& gateway, const std::string& name) {
  if (name == "timestamp.json") return Timestamp(gateway);
  const std::vector<std::string> parts = absl::StrSplit(name, '.');
  int64_t version = 0;
  if (parts.size() != 3 || parts[2] != "json" || !absl::SimpleAtoi(parts[0], &version) || version < 1 ||
      absl::StrCat(version) != parts[0]) {
    return FileUnknown(name);
  }
  absl::StatusOr<std::optional<std::string>> content = FileUnknown(name);
  if (parts[1] == "root") content = store_.RootFile(version);
  if (parts[1] == "targets") content = store_.Targets(gateway, version);
  if (parts[1] == "snapshot") content = store_.Snapshot(gateway, version);
  if (!content.ok()) return content.status();
  if (!content->has_value()) return FileUnknown(name);
  return **std::move(content);
}

absl::StatusOr<std::string> Director::Timestamp(const std::string& gateway) {
  for (int i = 0; i < kMaxTries; ++i) {
    ASSIGN_OR_RETURN(std::optional<DirectorState> state, store_.Load(gateway));
    const absl::Time now = clock_.Now();
    if (state.has_value() && !NeedsTargets(*state, now) && now < state->metadata.refresh_timestamp) {
      return std::move(state->metadata.timestamp);
    }
    ASSIGN_OR_RETURN(const bool stored, Sign(gateway, /*end_refused=*/i == 0));
    if (stored) seconds_.Observe(absl::ToDoubleSeconds(clock_.Now() - now));
  }
  // Every try met a change: there is one more to come for this gateway just now.
  return Error(absl::StatusCode::kUnavailable, "DIRECTOR_BUSY",
               "The gateway's Director metadata is changing just now; ask again.");
}

absl::StatusOr<bool> Director::Sign(const std::string& gateway, bool end_refused) {
  ASSIGN_OR_RETURN(const DirectorStore::Signable signable, store_.LoadForSigning(gateway));
  const DirectorState& state = signable.state;
  if (state.root_version == 0) return NoRoot();
  const absl::Time now = clock_.Now();
  if (!NeedsTargets(state, now)) {
    DirectorMetadata metadata = state.metadata;
    RETURN_IF_ERROR(signer_.SignTimestamp(metadata.versions.timestamp + 1, metadata, now));
    return store_.Save(gateway, state, metadata, state.signed_under);
  }

  // A service that was restarted with other keys must not sign what no gateway would believe.
  ASSIGN_OR_RETURN(const std::optional<DirectorRoot> latest, store_.LatestRoot());
  if (!latest.has_value()) return NoRoot();
  ASSIGN_OR_RETURN(const trust::Envelope envelope, trust::Envelope::Parse(latest->content));
  ASSIGN_OR_RETURN(const trust::Root root, trust::Root::Parse(envelope));
  if (const absl::Status status = signer_.CheckRoot(root); !status.ok()) {
    return Error(absl::StatusCode::kFailedPrecondition, "ONLINE_KEY_MISSING", status.message());
  }

  std::vector<DirectorCandidate> candidates;
  for (const AssignmentView& view : signable.admitted) {
    candidates.push_back(CandidateOf(view, /*ahead=*/false));
  }
  for (const AssignmentView& view : signable.ahead) candidates.push_back(CandidateOf(view, /*ahead=*/true));
  const DirectorVersions& versions = state.metadata.versions;
  ASSIGN_OR_RETURN(
      const DirectorSigner::Result result,
      signer_.Sign(gateway, {versions.targets + 1, versions.snapshot + 1, versions.timestamp + 1}, candidates,
                   signable.quarantined, now));
  if (!result.refused.empty() && end_refused) {
    // Their end changes what is to be signed, so sign after it. One that is beyond recall stays, without its
    // entry.
    for (const DirectorSigner::Refusal& refusal : result.refused)
      RETURN_IF_ERROR(EndRefused(signable, refusal));
    return false;
  }
  return store_.Save(gateway, state, result.metadata, Under(state));
}

absl::Status Director::EndRefused(const DirectorStore::Signable& signable,
                                  const DirectorSigner::Refusal& refusal) {
  const Assignment& assignment = signable.admitted[refusal.candidate].assignment;
  const std::string reason = ReasonOf(refusal.why);
  refusals_.With({reason}).Increment();
  log::Warn("director entry refused", {{"rollout", assignment.rollout},
                                       {"gateway", assignment.gateway},
                                       {"ecu_serial", assignment.ecu_serial},
                                       {"status", refusal.why}});
  const AssignmentKey key{assignment.gateway, assignment.ecu_serial, assignment.rollout};
  if (reason == trust::kConsentExpired) {
    return rollouts_.Refuse(key, AssignmentEvent::kConsentExpired, FailureReason::kNone,
                            refusal.why.message());
  }
  return rollouts_.Refuse(key, AssignmentEvent::kRefusedBySigner, FailureOf(reason), refusal.why.message());
}

}  // namespace countersign::rollout
