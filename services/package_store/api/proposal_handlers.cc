#include <optional>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/db/page_token.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "services/package_store/api/convert.h"
#include "services/package_store/api/package_store_api.h"
#include "services/package_store/domain/names.h"

namespace countersign::package_store {
namespace {

constexpr int kPageSize = 50;
constexpr int kMaxPageSize = 100;
// A page ends early rather than grow beyond what a client takes: a proposal has up to some 2 MiB.
constexpr size_t kMaxPageBytes = 1 << 20;
constexpr int kMaxStatements = 10'000;

}  // namespace

absl::Status PackageStoreApi::CreateProposal(const rpc::Call& call, const v1::CreateProposalRequest& request,
                                             v1::Proposal* response) {
  ASSIGN_OR_RETURN(const std::string manufacturer, ParseManufacturer(request.parent()));
  RETURN_IF_ERROR(CheckOwn(call.identity(), manufacturer));
  ASSIGN_OR_RETURN(const Requester requester, RequesterOf(call, request));
  ASSIGN_OR_RETURN(const Proposal proposal,
                   parts_.proposals.Create(manufacturer, request.metadata(), requester, parts_.clock.Now()));
  *response = ToProto(proposal);
  return absl::OkStatus();
}

absl::Status PackageStoreApi::GetProposal(const rpc::Call& call, const v1::GetProposalRequest& request,
                                          v1::Proposal* response) {
  ASSIGN_OR_RETURN(const ProposalName name, ParseProposalName(request.name()));
  RETURN_IF_ERROR(CheckOwn(call.identity(), name.manufacturer));
  ASSIGN_OR_RETURN(const Proposal proposal, parts_.proposals.Get(name.manufacturer, name.id));
  *response = ToProto(proposal);
  return absl::OkStatus();
}

absl::Status PackageStoreApi::ListProposals(const rpc::Call& call, const v1::ListProposalsRequest& request,
                                            v1::ListProposalsResponse* response) {
  Proposals::Filter filter;
  ASSIGN_OR_RETURN(filter.manufacturer, ParseManufacturerOrAll(request.parent()));
  if (call.identity().role == rpc::Role::kManufacturer) {
    // To a manufacturer all there are means its own.
    if (!filter.manufacturer) filter.manufacturer = call.identity().id;
    RETURN_IF_ERROR(CheckOwn(call.identity(), *filter.manufacturer));
  }
  ASSIGN_OR_RETURN(filter.state, FromProto(request.state()));
  ASSIGN_OR_RETURN(const int page_size, db::PageSize(request.page_size(), kPageSize, kMaxPageSize));
  const std::string scope = absl::StrCat("ListProposals ", filter.manufacturer.value_or("-"), " ",
                                         static_cast<int>(request.state()));
  ASSIGN_OR_RETURN(const std::vector<std::string> keys, db::DecodePageToken(scope, request.page_token(), 1));
  int64_t after = 0;
  if (!keys.empty() && !absl::SimpleAtoi(keys[0], &after))
    return absl::InternalError("page token without a number");

  std::vector<int64_t> numbers;
  ASSIGN_OR_RETURN(const std::vector<Proposal> proposals,
                   parts_.proposals.List(filter, after, page_size + 1, &numbers));
  for (size_t i = 0; i < proposals.size(); ++i) {
    if (i == static_cast<size_t>(page_size) || response->ByteSizeLong() > kMaxPageBytes) {
      response->set_next_page_token(db::EncodePageToken(scope, {absl::StrCat(numbers[i - 1])}));
      break;
    }
    *response->add_proposals() = ToProto(proposals[i]);
  }
  return absl::OkStatus();
}

absl::Status PackageStoreApi::ApproveProposal(const rpc::Call& call,
                                              const v1::ApproveProposalRequest& request,
                                              v1::Proposal* response) {
  ASSIGN_OR_RETURN(const ProposalName name, ParseProposalName(request.name()));
  ASSIGN_OR_RETURN(const Requester requester, RequesterOf(call, request));
  ASSIGN_OR_RETURN(const std::vector<trust::Signature> signatures, SignaturesFromProto(request));
  if (request.approval_statements_size() > kMaxStatements) {
    return Error(absl::StatusCode::kInvalidArgument, "STATEMENT_INVALID",
                 absl::StrCat("At most ", kMaxStatements, " approval statements can be given."));
  }
  const std::vector<std::string> statements(request.approval_statements().begin(),
                                            request.approval_statements().end());
  ASSIGN_OR_RETURN(const Proposal proposal,
                   parts_.proposals.Approve(name.manufacturer, name.id, signatures, statements, requester,
                                            parts_.clock.Now()));
  parts_.tail.Nudge();
  *response = ToProto(proposal);
  return absl::OkStatus();
}

absl::Status PackageStoreApi::RefuseProposal(const rpc::Call& call, const v1::RefuseProposalRequest& request,
                                             v1::Proposal* response) {
  ASSIGN_OR_RETURN(const ProposalName name, ParseProposalName(request.name()));
  ASSIGN_OR_RETURN(const Requester requester, RequesterOf(call, request));
  RETURN_IF_ERROR(CheckReason(request.reason()));
  ASSIGN_OR_RETURN(
      const Proposal proposal,
      parts_.proposals.Refuse(name.manufacturer, name.id, request.reason(), requester, parts_.clock.Now()));
  *response = ToProto(proposal);
  return absl::OkStatus();
}

}  // namespace countersign::package_store
