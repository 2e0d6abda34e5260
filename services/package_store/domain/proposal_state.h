#ifndef COUNTERSIGN_SERVICES_PACKAGE_STORE_DOMAIN_PROPOSAL_STATE_H_
#define COUNTERSIGN_SERVICES_PACKAGE_STORE_DOMAIN_PROPOSAL_STATE_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/package_store/domain/values.h"

namespace countersign::package_store {

enum class ProposalEvent { kApprove, kRefuse, kSupersede };

// "AWAITING_APPROVAL", ...
absl::string_view ProposalStateName(ProposalState state);
// The state of that name; INTERNAL if there is none, since only the store writes them.
absl::StatusOr<ProposalState> ParseProposalState(absl::string_view name);

// The state after `event`. Only a proposal that awaits approval changes; FAILED_PRECONDITION (WRONG_STATE)
// else.
absl::StatusOr<ProposalState> After(ProposalState state, ProposalEvent event);

}  // namespace countersign::package_store

#endif  // COUNTERSIGN_SERVICES_PACKAGE_STORE_DOMAIN_PROPOSAL_STATE_H_
