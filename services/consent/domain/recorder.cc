#include "services/consent/domain/recorder.h"

#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/trust/consent_record.h"
#include "common/trust/envelope.h"

namespace countersign::consent {
namespace {

using Decision = trust::ConsentRecord::Decision;

absl::StatusOr<Decision> RecordedDecision(QuestionState state) {
  switch (state) {
    case QuestionState::kGranted:
      return Decision::kGranted;
    case QuestionState::kDenied:
      return Decision::kDenied;
    case QuestionState::kDeferred:
      return Decision::kDeferred;
    case QuestionState::kWithdrawn:
      return Decision::kWithdrawn;
    case QuestionState::kExpired:
      return Decision::kExpired;
    case QuestionState::kWaiting:
    case QuestionState::kClosed:
      break;
  }
  return absl::InternalError("a question without an answer has no record");
}

}  // namespace

absl::Status Recorder::Sign(absl::string_view id, const Question& question, DecisionMade& decision) const {
  ASSIGN_OR_RETURN(const Decision recorded, RecordedDecision(decision.decision));
  trust::ConsentRecord record;
  record.record_id = std::string(id);
  record.principal_id = decision.principal_id;
  record.gateway_id = question.gateway;
  record.ecu_serial = question.ecu_serial;
  record.scope = trust::ConsentRecord::Scope::kOneUpdate;
  record.decision = recorded;
  record.kind = std::string(KindName(question.kind));
  record.image_sha256 = question.image_sha256;
  record.target_path = question.target_path;
  record.from_version = question.from_version;
  record.to_version = question.to_version;
  record.criticality = std::string(CriticalityName(question.criticality));
  record.terms_sha256 = question.terms_sha256;
  record.text_sha256 = decision.text_sha256;
  record.valid_from = decision.decided_at;
  record.valid_until = decision.valid_until;
  trust::Envelope envelope = record.ToEnvelope();
  RETURN_IF_ERROR(envelope.Sign(*signer_));
  decision.signed_record = envelope.Serialise();
  return absl::OkStatus();
}

}  // namespace countersign::consent
