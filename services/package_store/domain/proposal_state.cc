#include "services/package_store/domain/proposal_state.h"

#include "absl/strings/str_cat.h"
#include "common/status/errors.h"

namespace countersign::package_store {

absl::string_view ProposalStateName(ProposalState state) {
  switch (state) {
    case ProposalState::kAwaitingApproval:
      return "AWAITING_APPROVAL";
    case ProposalState::kApproved:
      return "APPROVED";
    case ProposalState::kRefused:
      return "REFUSED";
    case ProposalState::kSuperseded:
      return "SUPERSEDED";
  }
  return "";
}

absl::StatusOr<ProposalState> ParseProposalState(absl::string_view name) {
  for (ProposalState state : {ProposalState::kAwaitingApproval, ProposalState::kApproved,
                              ProposalState::kRefused, ProposalState::kSuperseded}) {
    if (name == ProposalStateName(state)) return state;
  }
  return absl::InternalError(absl::StrCat("no proposal state is named ", name));
}

absl::StatusOr<ProposalState> After(ProposalState state, ProposalEvent event) {
  if (state != ProposalState::kAwaitingApproval) {
    return Error(absl::StatusCode::kFailedPrecondition, "WRONG_STATE",
                 absl::StrCat("The proposal is ", ProposalStateName(state),
                              "; only one that is AWAITING_APPROVAL can be decided."),
                 {{"state", std::string(ProposalStateName(state))}});
  }
  switch (event) {
    case ProposalEvent::kApprove:
      return ProposalState::kApproved;
    case ProposalEvent::kRefuse:
      return ProposalState::kRefused;
    case ProposalEvent::kSupersede:
      return ProposalState::kSuperseded;
  }
  return absl::InternalError("unknown event");
}

}  // namespace countersign::package_store
