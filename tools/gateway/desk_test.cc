#include "tools/gateway/desk.h"

#include <thread>

#include "common/testing/status_matchers.h"
#include "gtest/gtest.h"

namespace countersign::gateway {
namespace {

const Confirmation kWaiting = {.ecu_serial = "ecu-1", .sha256 = "aa", .approval_result = "NO_STATEMENT"};

// HOME-10
TEST(DeskTest, WhoAsksIsToldWhatTheAgentFoundAfterTheQuestion) {
  Desk desk;
  desk.Checked({.updates = 7});
  EXPECT_FALSE(desk.check_wanted());
  std::thread agent([&] {
    while (!desk.check_wanted()) std::this_thread::yield();
    desk.Checked({.status = absl::OkStatus()});
  });
  ASSERT_OK_AND_ASSIGN(const CheckOutcome outcome, desk.Check(absl::InfiniteDuration()));
  agent.join();
  EXPECT_EQ(outcome.updates, 0);
  EXPECT_TRUE(outcome.nothing_new());
}

TEST(DeskTest, NothingNewIsSaidOnlyWhenThatIsKnown) {
  EXPECT_TRUE(CheckOutcome().nothing_new());
  EXPECT_FALSE(CheckOutcome{.status = absl::UnavailableError("away")}.nothing_new());
  EXPECT_FALSE(CheckOutcome{.updates = 1}.nothing_new());
  EXPECT_FALSE(CheckOutcome{.prompts = true}.nothing_new());
  EXPECT_FALSE(CheckOutcome{.confirmations = 1}.nothing_new());
}

TEST(DeskTest, ABusyAgentIsNotWaitedForWithoutEnd) {
  Desk desk;
  EXPECT_THAT(desk.Check(absl::ZeroDuration()), StatusIs(absl::StatusCode::kDeadlineExceeded, "AGENT_BUSY"));
  EXPECT_TRUE(desk.check_wanted());
}

// SC-USE-7
TEST(DeskTest, OnlyWhatWaitsIsConfirmedAndOnlyOnceAndBySomebody) {
  Desk desk;
  desk.Show({kWaiting}, {});
  const auto unknown = StatusIs(absl::StatusCode::kNotFound, "CONFIRMATION_UNKNOWN");
  EXPECT_THAT(desk.Confirm({"ecu-1", "bb", true, "alice"}), unknown);
  EXPECT_THAT(desk.Confirm({"ecu-2", "aa", true, "alice"}), unknown);
  EXPECT_THAT(desk.Confirm({"ecu-1", "aa", true, ""}),
              StatusIs(absl::StatusCode::kInvalidArgument, "PRINCIPAL_MISSING"));
  EXPECT_OK(desk.Confirm({"ecu-1", "aa", false, "alice"}));
  EXPECT_THAT(desk.Confirm({"ecu-1", "aa", true, "bob"}), unknown);
  const auto answers = desk.TakeAnswers();
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_EQ(answers[0].principal_id, "alice");
  EXPECT_FALSE(answers[0].confirm);
  EXPECT_TRUE(desk.TakeAnswers().empty());
}

}  // namespace
}  // namespace countersign::gateway
