#include "services/consent/api/consent_api.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/db/request_ids.h"
#include "common/rpc/mutation.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "services/consent/api/convert.h"
#include "services/consent/api/roles.h"

namespace countersign::consent {

std::unique_ptr<rpc::Service> ConsentApi::Bind() {
  auto service = std::make_unique<rpc::Service>(ConsentRoles());
  service->Unary("CreatePolicy", this, &ConsentApi::CreatePolicy);
  service->Unary("ListPolicies", this, &ConsentApi::ListPolicies);
  service->Unary("WithdrawPolicy", this, &ConsentApi::WithdrawPolicy);
  service->Unary("RequestConsent", this, &ConsentApi::RequestConsent);
  service->Unary("CloseQuestions", this, &ConsentApi::CloseQuestions);
  service->Unary("ListPrompts", this, &ConsentApi::ListPrompts);
  service->Unary("AnswerPrompt", this, &ConsentApi::AnswerPrompt);
  service->Unary("WithdrawConsent", this, &ConsentApi::WithdrawConsent);
  service->Unary("GetRecord", this, &ConsentApi::GetRecord);
  service->Unary("ListRecords", this, &ConsentApi::ListRecords);
  service->ServerStream("WatchDecisions", this, &ConsentApi::WatchDecisions);
  return service;
}

absl::Status ConsentApi::ChangeOnce(const rpc::Call& call, absl::string_view method,
                                    const std::string& gateway, const std::string& request_id,
                                    const google::protobuf::MessageLite& request,
                                    google::protobuf::MessageLite* response,
                                    absl::FunctionRef<absl::StatusOr<std::string>(Changes&)> body) {
  RETURN_IF_ERROR(rpc::CheckRequestId(request_id));
  const std::string principal = call.identity().ToString();
  const std::string bytes = rpc::RequestBytes(request);
  ASSIGN_OR_RETURN(const std::string answer,
                   parts_.store.Change(method, {gateway}, parts_.clock.Now(),
                                       [&](Changes& changes) -> absl::StatusOr<std::string> {
                                         return db::Idempotently(changes.tx(), principal, method, request_id,
                                                                 bytes, [&] { return body(changes); });
                                       }));
  parts_.tail.Nudge();
  if (!response->ParseFromString(answer)) {
    return absl::InternalError(absl::StrCat("the recorded response of ", method, " cannot be read"));
  }
  return absl::OkStatus();
}

absl::Status CheckOwn(const rpc::Identity& caller, absl::string_view gateway) {
  if (caller.role != rpc::Role::kGateway || caller.id == gateway) return absl::OkStatus();
  return Error(absl::StatusCode::kPermissionDenied, "NOT_YOUR_GATEWAY",
               absl::StrCat("Gateway ", caller.id, " has no right to what is gateway ", gateway, "'s."));
}

absl::StatusOr<std::optional<std::string>> ListedGateway(const rpc::Identity& caller,
                                                         absl::string_view parent) {
  ASSIGN_OR_RETURN(std::optional<std::string> gateway, ParseGatewayOrAll(parent));
  if (caller.role == rpc::Role::kGateway) {
    if (!gateway) gateway = caller.id;
    RETURN_IF_ERROR(CheckOwn(caller, *gateway));
  }
  return gateway;
}

}  // namespace countersign::consent
