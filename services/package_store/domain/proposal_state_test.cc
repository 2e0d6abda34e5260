#include "services/package_store/domain/proposal_state.h"

#include "common/testing/status_matchers.h"
#include "gtest/gtest.h"

namespace countersign::package_store {
namespace {

using enum ProposalState;
using enum ProposalEvent;

TEST(ProposalStateTest, OnlyAProposalThatAwaitsApprovalChanges) {
  const auto wrong = StatusIs(absl::StatusCode::kFailedPrecondition, "WRONG_STATE");
  EXPECT_THAT(After(kAwaitingApproval, kApprove), IsOkAndHolds(kApproved));
  EXPECT_THAT(After(kAwaitingApproval, kRefuse), IsOkAndHolds(kRefused));
  EXPECT_THAT(After(kAwaitingApproval, kSupersede), IsOkAndHolds(kSuperseded));
  for (ProposalState state : {kApproved, kRefused, kSuperseded}) {
    for (ProposalEvent event : {kApprove, kRefuse, kSupersede}) EXPECT_THAT(After(state, event), wrong);
  }
}

TEST(ProposalStateTest, NamesAreReadBack) {
  for (ProposalState state : {kAwaitingApproval, kApproved, kRefused, kSuperseded}) {
    EXPECT_THAT(ParseProposalState(ProposalStateName(state)), IsOkAndHolds(state));
  }
  EXPECT_THAT(ParseProposalState("ELSE"), StatusIs(absl::StatusCode::kInternal));
}

}  // namespace
}  // namespace countersign::package_store
