#include "services/inventory/domain/orders.h"

#include "absl/strings/str_cat.h"
#include "common/testing/status_matchers.h"
#include "gtest/gtest.h"

namespace countersign::inventory::domain {
namespace {

constexpr absl::StatusCode kFailedPrecondition = absl::StatusCode::kFailedPrecondition;
constexpr absl::StatusCode kInvalidArgument = absl::StatusCode::kInvalidArgument;
const absl::Time kNow = absl::FromUnixSeconds(1767225600);

// FOTA-R3: every state and every order.
TEST(OrdersTest, EveryStateAndOrderHasItsOutcome) {
  for (State state : kAllStates) {
    ComponentStatus status;
    status.state = state;
    const auto ordered = OrderQuarantine("operator/alice", "it burns", kNow, status);
    if (state == State::kRetired) {
      EXPECT_THAT(ordered, StatusIs(kFailedPrecondition, "WRONG_STATE"));
    } else {
      EXPECT_THAT(ordered, IsOkAndHolds(state != State::kQuarantined));
      EXPECT_EQ(status.state, State::kQuarantined);
    }

    status = ComponentStatus();
    status.state = state;
    status.quarantine.emplace();
    const auto released = Release(status);
    if (state == State::kQuarantined) {
      EXPECT_THAT(released, IsOkAndHolds(true));
      EXPECT_EQ(status.state, State::kUnverified);
      EXPECT_FALSE(status.quarantine.has_value());
    } else {
      EXPECT_THAT(released, StatusIs(kFailedPrecondition, "WRONG_STATE"));
      EXPECT_EQ(status.state, state);
    }

    status = ComponentStatus();
    status.state = state;
    EXPECT_THAT(Retire(status), IsOkAndHolds(state != State::kRetired));
    EXPECT_EQ(status.state, State::kRetired);
  }
}

TEST(OrdersTest, AnOrderStaysAsItWasOrderedFirst) {
  ComponentStatus status;
  ASSERT_OK(OrderQuarantine("operator/alice", "it burns", kNow, status));
  ASSERT_OK(OrderQuarantine("operator/bob", "it still burns", kNow + absl::Hours(1), status));
  EXPECT_EQ(status.quarantine->ordered_by, "operator/alice");
  EXPECT_EQ(status.quarantine->reason, "it burns");
  EXPECT_EQ(status.quarantine->order_time, kNow);
  EXPECT_FALSE(status.quarantine->confirm_time.has_value());
}

// FOTA-P1
TEST(OrdersTest, FailuresAreCountedAndTheLastOnesKept) {
  ComponentStatus status;
  for (int i = 1; i <= 7; ++i)
    AddFailure({.time = kNow + absl::Hours(i), .version = absl::StrCat(i)}, status);
  EXPECT_EQ(status.failure_count, 7);
  ASSERT_EQ(status.last_errors.size(), kMaxLastErrors);
  EXPECT_EQ(status.last_errors.front().version, "7");
  EXPECT_EQ(status.last_errors.back().version, "3");
}

TEST(OrdersTest, TagsAreSetAndRemovedWithinTheirLimits) {
  const auto changed =
      ChangeTags({{"floor", "1"}, {"old", "x"}}, {{"floor", "2"}, {"wing", ""}}, {"old", "none"});
  ASSERT_OK(changed);
  EXPECT_EQ(*changed, (Tags{{"floor", "2"}, {"wing", ""}}));
  const auto invalid = StatusIs(kInvalidArgument, "TAG_INVALID");
  EXPECT_THAT(ChangeTags({}, {{"a", "1"}}, {"a"}), invalid);
  for (const std::string& name :
       {std::string(), std::string("1a"), std::string("A"), std::string("a b"), std::string(64, 'a')}) {
    EXPECT_THAT(CheckTags({{name, ""}}), invalid) << name;
  }
  EXPECT_OK(CheckTags({{std::string(63, 'a'), std::string(63, 'v')}}));
  EXPECT_THAT(CheckTags({{"a", std::string(64, 'v')}}), invalid);
  EXPECT_THAT(CheckTags({{"a", "line\nfeed"}}), invalid);
  Tags many;
  for (size_t i = 0; i < kMaxTags; ++i) many[absl::StrCat("t", i)] = "";
  EXPECT_OK(CheckTags(many));
  EXPECT_THAT(ChangeTags(many, {{"one-more", ""}}, {}), invalid);
}

TEST(OrdersTest, ADevicesTagsGoBeforeItsGateways) {
  EXPECT_EQ(ComponentTags({{"city", "Bonn"}, {"floor", "0"}}, {{"floor", "2"}}),
            (Tags{{"city", "Bonn"}, {"floor", "2"}}));
}

TEST(OrdersTest, AnOrderSaysWhy) {
  EXPECT_OK(CheckNote("it burns"));
  for (const std::string& note : {std::string(), std::string(257, 'x'), std::string("a\nb")}) {
    EXPECT_THAT(CheckNote(note), StatusIs(kInvalidArgument, "REASON_MISSING"));
  }
}

}  // namespace
}  // namespace countersign::inventory::domain
