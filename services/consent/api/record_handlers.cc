#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/db/page_token.h"
#include "common/feed/watch.h"
#include "common/status/macros.h"
#include "services/consent/api/consent_api.h"
#include "services/consent/api/convert.h"

namespace countersign::consent {
namespace {

constexpr int kPageSize = 100;
constexpr int kMaxPageSize = 1000;

}  // namespace

absl::Status ConsentApi::CreatePolicy(const rpc::Call& call, const v1::CreatePolicyRequest& request,
                                      v1::Policy* response) {
  ASSIGN_OR_RETURN(const std::string gateway, ParseGateway(request.parent()));
  RETURN_IF_ERROR(CheckOwn(call.identity(), gateway));
  ASSIGN_OR_RETURN(const Policy policy, PolicyFromProto(gateway, request.policy(), parts_.clock.Now()));
  return ChangeOnce(call, "CreatePolicy", gateway, request.request_id(), request, response,
                    [&](Changes& changes) -> absl::StatusOr<std::string> {
                      RETURN_IF_ERROR(changes.AddPolicy(policy));
                      return ToProto(policy).SerializeAsString();
                    });
}

absl::Status ConsentApi::ListPolicies(const rpc::Call& call, const v1::ListPoliciesRequest& request,
                                      v1::ListPoliciesResponse* response) {
  ASSIGN_OR_RETURN(const std::optional<std::string> gateway,
                   ListedGateway(call.identity(), request.parent()));
  ASSIGN_OR_RETURN(const int page_size, db::PageSize(request.page_size(), kPageSize, kMaxPageSize));
  const std::string scope = absl::StrCat("ListPolicies ", gateway.value_or("-"));
  ASSIGN_OR_RETURN(const std::vector<std::string> keys, db::DecodePageToken(scope, request.page_token(), 2));

  std::optional<ConsentStore::After> after;
  if (!keys.empty()) after = {"", keys[0], keys[1]};
  ASSIGN_OR_RETURN(std::vector<Policy> policies, parts_.store.ListPolicies(gateway, after, page_size + 1));
  if (policies.size() > static_cast<size_t>(page_size)) {
    policies.resize(page_size);
    response->set_next_page_token(db::EncodePageToken(scope, {policies.back().gateway, policies.back().id}));
  }
  for (const Policy& policy : policies) *response->add_policies() = ToProto(policy);
  return absl::OkStatus();
}

absl::Status ConsentApi::WithdrawPolicy(const rpc::Call& call, const v1::WithdrawPolicyRequest& request,
                                        v1::Policy* response) {
  ASSIGN_OR_RETURN(const ChildName name, ParseChild(request.name(), "policies"));
  RETURN_IF_ERROR(CheckOwn(call.identity(), name.gateway));
  ASSIGN_OR_RETURN(
      const Policy policy,
      parts_.store.Change("WithdrawPolicy", {name.gateway}, parts_.clock.Now(),
                          [&](Changes& changes) { return changes.WithdrawPolicy(name.gateway, name.id); }));
  parts_.tail.Nudge();
  *response = ToProto(policy);
  return absl::OkStatus();
}

absl::Status ConsentApi::WithdrawConsent(const rpc::Call& call, const v1::WithdrawConsentRequest& request,
                                         v1::ConsentRecord* response) {
  ASSIGN_OR_RETURN(const ChildName name, ParseChild(request.name(), "records"));
  RETURN_IF_ERROR(CheckOwn(call.identity(), name.gateway));
  RETURN_IF_ERROR(CheckPrincipal(request.principal_id()));
  return ChangeOnce(call, "WithdrawConsent", name.gateway, request.request_id(), request, response,
                    [&](Changes& changes) -> absl::StatusOr<std::string> {
                      ASSIGN_OR_RETURN(const AskedQuestion asked,
                                       changes.Withdraw(name.gateway, name.id, request.principal_id()));
                      return RecordToProto(asked).SerializeAsString();
                    });
}

absl::Status ConsentApi::GetRecord(const rpc::Call& call, const v1::GetRecordRequest& request,
                                   v1::ConsentRecord* response) {
  ASSIGN_OR_RETURN(const ChildName name, ParseChild(request.name(), "records"));
  RETURN_IF_ERROR(CheckOwn(call.identity(), name.gateway));
  ASSIGN_OR_RETURN(const AskedQuestion asked, parts_.store.GetRecord(name.gateway, name.id));
  *response = RecordToProto(asked);
  return absl::OkStatus();
}

absl::Status ConsentApi::ListRecords(const rpc::Call& call, const v1::ListRecordsRequest& request,
                                     v1::ListRecordsResponse* response) {
  ASSIGN_OR_RETURN(const std::optional<std::string> gateway,
                   ListedGateway(call.identity(), request.parent()));
  ASSIGN_OR_RETURN(const int page_size, db::PageSize(request.page_size(), kPageSize, kMaxPageSize));
  const std::string scope = absl::StrCat("ListRecords ", gateway.value_or("-"));
  ASSIGN_OR_RETURN(const std::vector<std::string> keys, db::DecodePageToken(scope, request.page_token(), 3));

  std::optional<ConsentStore::After> after;
  if (!keys.empty()) after = {keys[0], keys[1], keys[2]};
  ASSIGN_OR_RETURN(std::vector<AskedQuestion> records,
                   parts_.store.ListRecords(gateway, after, page_size + 1));
  if (records.size() > static_cast<size_t>(page_size)) {
    records.resize(page_size);
    const AskedQuestion& last = records.back();
    response->set_next_page_token(db::EncodePageToken(
        scope, {ConsentStore::TimeKey(*last.recorded_at), last.question.gateway, last.id}));
  }
  for (const AskedQuestion& record : records) *response->add_records() = RecordToProto(record);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<rpc::Producer<v1::WatchDecisionsResponse>>> ConsentApi::WatchDecisions(
    const rpc::Call&, const v1::WatchDecisionsRequest& request, rpc::Waker waker) {
  using Decisions = feed::Watch<v1::WatchDecisionsResponse>;
  return std::make_unique<Decisions>(
      parts_.database, parts_.tail, request.resume_token(), std::move(waker),
      [](feed::Event& event, v1::WatchDecisionsResponse* response) -> absl::StatusOr<bool> {
        if (!response->mutable_record()->ParseFromString(event.payload)) {
          return absl::InternalError(absl::StrCat("the outbox event of ", event.key, " is no record"));
        }
        response->set_resume_token(std::move(event.token));
        return true;
      });
}

}  // namespace countersign::consent
