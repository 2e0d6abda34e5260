#include "services/rollout/clients/consent_client.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/feed/pump.h"
#include "common/log/log.h"
#include "common/rpc/status_grpc.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/trust/envelope.h"
#include "countersign/consent/v1/consent.grpc.pb.h"

namespace countersign::rollout {
namespace {

using consent::v1::ConsentService;

absl::Time TimeOf(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

std::string AssignmentName(absl::string_view rollout, absl::string_view ecu_serial) {
  return absl::StrCat("rollouts/", rollout, "/assignments/", ecu_serial);
}

// nullopt for a decision that this version does not know.
std::optional<AssignmentEvent> EventOf(consent::v1::Decision decision) {
  switch (decision) {
    case consent::v1::DECISION_PENDING:
      return AssignmentEvent::kConsentPending;
    case consent::v1::DECISION_GRANTED:
      return AssignmentEvent::kConsentGranted;
    case consent::v1::DECISION_DENIED:
      return AssignmentEvent::kConsentDenied;
    case consent::v1::DECISION_DEFERRED:
      return AssignmentEvent::kConsentDeferred;
    case consent::v1::DECISION_WITHDRAWN:
      return AssignmentEvent::kConsentWithdrawn;
    case consent::v1::DECISION_EXPIRED:
      return AssignmentEvent::kConsentExpired;
    default:
      return std::nullopt;
  }
}

absl::Status Unusable(const consent::v1::ConsentRecord& record, absl::string_view why) {
  return Error(absl::StatusCode::kInvalidArgument, "CONSENT_RECORD_UNUSABLE",
               absl::StrCat(record.name(), " is not taken: ", why));
}

}  // namespace

struct ConsentClient::State {
  std::unique_ptr<ConsentService::Stub> stub;
  crypto::PublicKey record_key;

  absl::StatusOr<ConsentDecision> DecisionOf(const consent::v1::ConsentRecord& record) const {
    const std::optional<AssignmentEvent> event = EventOf(record.decision());
    if (!event.has_value()) return Unusable(record, "its decision is not known here");
    const std::vector<std::string> assignment = absl::StrSplit(record.assignment(), '/');
    const std::vector<std::string> name = absl::StrSplit(record.name(), '/');
    if (assignment.size() != 4 || assignment[0] != "rollouts" || name.size() != 4 || name[0] != "gateways") {
      return Unusable(record, "it names no assignment of a gateway");
    }
    ASSIGN_OR_RETURN(const trust::Envelope envelope, trust::Envelope::Parse(record.signed_record()));
    if (const absl::Status status = envelope.VerifyBy(record_key); !status.ok()) {
      return Unusable(record, absl::StrCat("its signature is not the consent service's: ", status.message()));
    }
    ConsentDecision decision;
    decision.rollout = assignment[1];
    decision.gateway = name[1];
    decision.ecu_serial = assignment[3];
    decision.event = *event;
    decision.record = record.name();
    decision.principal = record.principal_id();
    decision.signed_record = record.signed_record();
    if (record.has_valid_until_time()) decision.until = TimeOf(record.valid_until_time());
    return decision;
  }
};

ConsentClient::ConsentClient(const rpc::Dialer& dialer, absl::string_view address,
                             crypto::PublicKey record_key)
    : state_(new State{ConsentService::NewStub(dialer.Dial(address, {rpc::Role::kService, "consent"})),
                       std::move(record_key)}) {}

ConsentClient::~ConsentClient() = default;

absl::StatusOr<std::vector<ConsentDecision>> ConsentClient::Request(
    const std::vector<AssignmentView>& assignments, absl::Time deadline) {
  consent::v1::RequestConsentRequest request;
  for (const AssignmentView& view : assignments) {
    consent::v1::ConsentQuestion& question = *request.add_questions();
    question.set_assignment(AssignmentName(view.assignment.rollout, view.assignment.ecu_serial));
    question.set_gateway(view.assignment.gateway);
    question.set_ecu_serial(view.assignment.ecu_serial);
    question.set_from_version(view.assignment.from_version);
    if (!question.mutable_release()->ParseFromString(view.release.info)) {
      return absl::InternalError(
          absl::StrCat("the stored statement of ", view.release.name, " cannot be read"));
    }
  }
  consent::v1::RequestConsentResponse response;
  rpc::CallContext context(deadline);
  RETURN_IF_ERROR(rpc::FromGrpc(state_->stub->RequestConsent(context.get(), request, &response)));
  if (response.answers_size() != request.questions_size()) {
    return absl::InternalError("the consent service did not answer every question");
  }
  std::vector<ConsentDecision> decisions;
  for (int i = 0; i < response.answers_size(); ++i) {
    const consent::v1::ConsentAnswer& answer = response.answers(i);
    const Assignment& assignment = assignments[i].assignment;
    ConsentDecision decision;
    if (answer.decision() != consent::v1::DECISION_PENDING) {
      absl::StatusOr<ConsentDecision> decided = state_->DecisionOf(answer.record());
      if (!decided.ok()) {
        log::Error("consent record refused", {{"rollout", assignment.rollout}, {"status", decided.status()}});
        continue;
      }
      decision = *std::move(decided);
    }
    decision.rollout = assignment.rollout;
    decision.gateway = assignment.gateway;
    decision.ecu_serial = assignment.ecu_serial;
    decisions.push_back(std::move(decision));
  }
  return decisions;
}

absl::Status ConsentClient::Close(const std::vector<AssignmentKey>& keys, absl::Time deadline) {
  consent::v1::CloseQuestionsRequest request;
  for (const AssignmentKey& key : keys) {
    consent::v1::QuestionKey& question = *request.add_questions();
    question.set_assignment(AssignmentName(key.rollout, key.ecu_serial));
    question.set_gateway(key.gateway);
  }
  consent::v1::CloseQuestionsResponse response;
  rpc::CallContext context(deadline);
  return rpc::FromGrpc(state_->stub->CloseQuestions(context.get(), request, &response));
}

absl::Status ConsentClient::Watch(const std::string& token, const feed::Follower::Sink& sink,
                                  std::stop_token stop) {
  consent::v1::WatchDecisionsRequest request;
  request.set_resume_token(token);
  rpc::CallContext context(absl::InfiniteFuture());
  const auto reader = state_->stub->WatchDecisions(context.get(), request);
  return feed::PumpWatch<consent::v1::WatchDecisionsResponse>(
      *context.get(), *reader,
      [](const consent::v1::WatchDecisionsResponse& response) {
        feed::Event event;
        event.token = response.resume_token();
        event.kind = "decision";
        event.key = response.record().assignment();
        event.payload = response.record().SerializeAsString();
        event.created_at = TimeOf(response.record().decide_time());
        return event;
      },
      sink, stop);
}

absl::StatusOr<ConsentDecision> ConsentClient::DecisionOf(const feed::Event& event) const {
  consent::v1::ConsentRecord record;
  if (!record.ParseFromString(event.payload)) return absl::InternalError("not a consent record");
  return state_->DecisionOf(record);
}

}  // namespace countersign::rollout
