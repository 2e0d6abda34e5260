#ifndef COUNTERSIGN_SERVICES_CONSENT_API_CONVERT_H_
#define COUNTERSIGN_SERVICES_CONSENT_API_CONVERT_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "countersign/consent/v1/consent.pb.h"
#include "services/consent/domain/answer.h"
#include "services/consent/domain/policy.h"
#include "services/consent/domain/question.h"
#include "services/consent/storage/changes.h"

// Proto to domain, checked, and back. What a proto's comment asks for and the message lacks is
// INVALID_ARGUMENT (REQUEST_INVALID; NAME_INVALID for resource names) that names the field.
namespace countersign::consent {


// "gateways/{gateway}"; with "gateways/-" nullopt.
absl::StatusOr<std::string> ParseGateway(absl::string_view name);
absl::StatusOr<std::optional<std::string>> ParseGatewayOrAll(absl::string_view name);

struct ChildName {
  std::string gateway;
  std::string id;
};
// "gateways/{gateway}/<collection>/{id}"; `collection` is "policies", "prompts" or "records".
absl::StatusOr<ChildName> ParseChild(absl::string_view name, absl::string_view collection);

absl::Status CheckPrincipal(absl::string_view principal_id);

// The policy as a new one of `gateway`.
absl::StatusOr<Policy> PolicyFromProto(const std::string& gateway, const v1::Policy& policy, absl::Time now);
absl::StatusOr<NewQuestion> QuestionFromProto(const v1::ConsentQuestion& question);
absl::StatusOr<QuestionKey> KeyFromProto(const v1::QuestionKey& key);
absl::StatusOr<Answer> AnswerFromProto(const v1::AnswerPromptRequest& request);

v1::Policy ToProto(const Policy& policy);
v1::Prompt PromptToProto(const AskedQuestion& asked);
v1::ConsentAnswer AnswerToProto(const AskedQuestion& asked);
// `asked` has a decision.
v1::ConsentRecord RecordToProto(const AskedQuestion& asked);

}  // namespace countersign::consent

#endif  // COUNTERSIGN_SERVICES_CONSENT_API_CONVERT_H_
