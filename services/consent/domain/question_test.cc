#include "services/consent/domain/question.h"

#include <string>

#include "common/testing/status_matchers.h"
#include "gtest/gtest.h"

namespace countersign::consent {
namespace {

using S = QuestionState;
using E = QuestionEvent;

// Every state and every event: the letter is the next state, '.' is a refusal.
TEST(QuestionTest, EveryEventInEveryState) {
  const S columns[] = {S::kWaiting,   S::kDeferred, S::kGranted, S::kDenied,
                       S::kWithdrawn, S::kExpired,  S::kClosed};
  const std::string letters = "WDGNTEC";
  const struct {
    E event;
    const char* next;  //  WDGNTEC
  } rows[] = {
      {E::kAskedAgain, "......W"}, {E::kPolicyGrants, "GG....G"}, {E::kUserGrants, "G......"},
      {E::kUserDenies, "N......"}, {E::kUserDefers, "D......"},   {E::kDeferralEnds, ".W....."},
      {E::kWithdrawn, "..T...."},  {E::kValidityEnds, "..E...."}, {E::kOvertaken, "CC....."},
  };
  for (const auto& row : rows) {
    for (size_t i = 0; i < letters.size(); ++i) {
      SCOPED_TRACE(testing::Message() << StateName(columns[i]) << ", event " << static_cast<int>(row.event));
      const absl::StatusOr<S> next = Next(columns[i], row.event);
      if (row.next[i] == '.') {
        EXPECT_THAT(next, StatusIs(absl::StatusCode::kFailedPrecondition));
      } else {
        EXPECT_THAT(next, IsOkAndHolds(columns[letters.find(row.next[i])]));
      }
    }
  }
}

TEST(QuestionTest, RefusalsSayWhy) {
  const auto refused = [](S state, E event, const char* reason) {
    EXPECT_THAT(Next(state, event), StatusIs(absl::StatusCode::kFailedPrecondition, reason));
  };
  refused(S::kDenied, E::kWithdrawn, "NOT_GRANTED");
  refused(S::kClosed, E::kUserGrants, "PROMPT_EXPIRED");
  refused(S::kGranted, E::kUserDenies, "PROMPT_ANSWERED");
  refused(S::kDeferred, E::kUserGrants, "PROMPT_ANSWERED");
  refused(S::kDenied, E::kValidityEnds, "WRONG_STATE");
}

TEST(QuestionTest, TheMoreCriticalTheShorterTheDeferral) {
  const DeferralLimits limits;
  EXPECT_GT(limits.For(Criticality::kLow), limits.For(Criticality::kMedium));
  EXPECT_GT(limits.For(Criticality::kMedium), limits.For(Criticality::kHigh));
  EXPECT_GT(limits.For(Criticality::kHigh), limits.For(Criticality::kCritical));
  EXPECT_LE(limits.For(Criticality::kCritical), absl::Hours(24));
}

}  // namespace
}  // namespace countersign::consent
