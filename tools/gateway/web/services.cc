#include "tools/gateway/web/services.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/rpc/channel.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "countersign/consent/v1/consent.grpc.pb.h"
#include "countersign/inventory/v1/inventory.grpc.pb.h"
#include "countersign/liaison/v1/liaison.grpc.pb.h"
#include "countersign/rollout/v1/rollout.grpc.pb.h"

namespace countersign::gateway {
namespace {

using consent::v1::ConsentService;
using inventory::v1::InventoryService;
using liaison::v1::LiaisonService;
using rollout::v1::RolloutService;

// A server that never stops handing out pages fills no memory.
constexpr int kMaxPages = 100;
constexpr int kMaxComponentsAsked = 1000;

template <typename Stub, typename Request, typename Response, typename Row>
absl::Status ListAll(Stub& stub, absl::Duration timeout,
                     grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                     Request request,
                     const google::protobuf::RepeatedPtrField<Row>& (Response::*field)() const,
                     std::vector<Row>* rows) {
  for (int page = 0; page < kMaxPages; ++page) {
    rpc::CallContext context(timeout);
    Response response;
    RETURN_IF_ERROR(rpc::FromGrpc((stub.*method)(context.get(), request, &response)));
    for (const Row& row : (response.*field)()) rows->push_back(row);
    if (response.next_page_token().empty()) break;
    request.set_page_token(response.next_page_token());
  }
  return absl::OkStatus();
}

template <typename Stub, typename Request, typename Response>
absl::Status Call(Stub& stub, absl::Duration timeout,
                  grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                  const std::string& serialised) {
  Request request;
  if (!request.ParseFromString(serialised)) {
    return Error(absl::StatusCode::kInvalidArgument, "ANSWER_DAMAGED", "what was kept is no request");
  }
  rpc::CallContext context(timeout);
  Response response;
  return rpc::FromGrpc((stub.*method)(context.get(), request, &response));
}

bool IsOpen(const rollout::v1::Assignment& assignment) {
  switch (assignment.phase()) {
    case common::v1::UPDATE_PHASE_SUCCEEDED:
    case common::v1::UPDATE_PHASE_FAILED:
    case common::v1::UPDATE_PHASE_ROLLED_BACK:
    case common::v1::UPDATE_PHASE_CANCELLED:
      return false;
    default:
      return true;
  }
}

}  // namespace

absl::Status Services::Refresh(HomeFacts* facts) const {
  HomeFacts fresh;
  const std::string parent = absl::StrCat("gateways/", facts->gateway_id);
  const auto consent = ConsentService::NewStub(channels_.consent);
  consent::v1::ListPromptsRequest prompts;
  prompts.set_parent(parent);
  prompts.set_page_size(100);
  RETURN_IF_ERROR(ListAll(*consent, call_timeout_, &ConsentService::Stub::ListPrompts, prompts,
                          &consent::v1::ListPromptsResponse::prompts, &fresh.prompts));
  consent::v1::ListRecordsRequest records;
  records.set_parent(parent);
  records.set_page_size(1000);
  RETURN_IF_ERROR(ListAll(*consent, call_timeout_, &ConsentService::Stub::ListRecords, records,
                          &consent::v1::ListRecordsResponse::records, &fresh.records));
  consent::v1::ListPoliciesRequest policies;
  policies.set_parent(parent);
  policies.set_page_size(1000);
  RETURN_IF_ERROR(ListAll(*consent, call_timeout_, &ConsentService::Stub::ListPolicies, policies,
                          &consent::v1::ListPoliciesResponse::policies, &fresh.policies));
  const auto rollout = RolloutService::NewStub(channels_.rollout);
  rollout::v1::ListAssignmentsRequest assignments;
  assignments.set_parent("rollouts/-");
  assignments.set_page_size(1000);
  RETURN_IF_ERROR(ListAll(*rollout, call_timeout_, &RolloutService::Stub::ListAssignments, assignments,
                          &rollout::v1::ListAssignmentsResponse::assignments, &fresh.assignments));
  const auto inventory = InventoryService::NewStub(channels_.inventory);
  inventory::v1::ListComponentsRequest components;
  components.set_page_size(1000);
  RETURN_IF_ERROR(ListAll(*inventory, call_timeout_, &InventoryService::Stub::ListComponents, components,
                          &inventory::v1::ListComponentsResponse::components, &fresh.components));

  // A release never changes: what is known of it is kept for as long as its update is under way.
  const auto liaison = LiaisonService::NewStub(channels_.liaison);
  for (const rollout::v1::Assignment& assignment : fresh.assignments) {
    if (!IsOpen(assignment) || fresh.releases.contains(assignment.release())) continue;
    if (const auto known = facts->releases.find(assignment.release()); known != facts->releases.end()) {
      fresh.releases.insert(*known);
      continue;
    }
    liaison::v1::GetReleaseRequest request;
    request.set_name(assignment.release());
    liaison::v1::Release release;
    rpc::CallContext context(call_timeout_);
    // Without it less is told of an update that is under way, and the rest is none the worse.
    if (liaison->GetRelease(context.get(), request, &release).ok()) {
      fresh.releases[assignment.release()] = release.info();
    }
  }
  facts->prompts = std::move(fresh.prompts);
  facts->records = std::move(fresh.records);
  facts->policies = std::move(fresh.policies);
  facts->assignments = std::move(fresh.assignments);
  facts->components = std::move(fresh.components);
  facts->releases = std::move(fresh.releases);
  return absl::OkStatus();
}

absl::Status Services::FindOffers(HomeFacts* facts) const {
  liaison::v1::FindUpdatesRequest request;
  for (const auto& component : AskedAbout(*facts)) {
    if (request.components_size() < kMaxComponentsAsked) *request.add_components() = component;
  }
  liaison::v1::FindUpdatesResponse response;
  if (request.components_size() > 0) {
    rpc::CallContext context(call_timeout_);
    RETURN_IF_ERROR(rpc::FromGrpc(
        LiaisonService::NewStub(channels_.liaison)->FindUpdates(context.get(), request, &response)));
  }
  facts->offers.assign(response.updates().begin(), response.updates().end());
  return absl::OkStatus();
}

absl::Status Services::Send(const Act& act) const {
  const auto stub = ConsentService::NewStub(channels_.consent);
  switch (act.kind) {
    case Act::Kind::kAnswer:
      return Call(*stub, call_timeout_, &ConsentService::Stub::AnswerPrompt, act.request);
    case Act::Kind::kWithdrawConsent:
      return Call(*stub, call_timeout_, &ConsentService::Stub::WithdrawConsent, act.request);
    case Act::Kind::kCreatePolicy:
      return Call(*stub, call_timeout_, &ConsentService::Stub::CreatePolicy, act.request);
    case Act::Kind::kWithdrawPolicy:
      return Call(*stub, call_timeout_, &ConsentService::Stub::WithdrawPolicy, act.request);
  }
  return Error(absl::StatusCode::kInvalidArgument, "ANSWER_DAMAGED",
               "what was kept is of no kind that there is");
}

}  // namespace countersign::gateway
