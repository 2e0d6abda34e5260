#include "services/rollout/domain/rollout.h"

#include <map>
#include <string>
#include <utility>

#include "common/testing/status_matchers.h"
#include "gtest/gtest.h"

namespace countersign::rollout {
namespace {

using S = RolloutState;
using E = RolloutEvent;

// Every state and every event; what is not in the table changes nothing.
TEST(RolloutStateTest, TheTableOfStatesAndEventsIsThis) {
  const std::map<std::pair<S, E>, S> table = {
      {{S::kPlanning, E::kPlanned}, S::kReady},     {{S::kPlanning, E::kPlanningFailed}, S::kFailed},
      {{S::kPlanning, E::kAbort}, S::kAborted},     {{S::kReady, E::kStart}, S::kRunning},
      {{S::kReady, E::kAbort}, S::kAborted},        {{S::kRunning, E::kPause}, S::kPaused},
      {{S::kRunning, E::kBudgetSpent}, S::kPaused}, {{S::kRunning, E::kAbort}, S::kAborted},
      {{S::kRunning, E::kAllEnded}, S::kCompleted}, {{S::kPaused, E::kResume}, S::kRunning},
      {{S::kPaused, E::kAbort}, S::kAborted},       {{S::kPaused, E::kAllEnded}, S::kCompleted},
  };
  for (const S state : kAllRolloutStates) {
    for (const E event : kAllRolloutEvents) {
      const auto expected = table.find({state, event});
      const std::optional<S> next = Next(state, event);
      if (expected == table.end()) {
        EXPECT_FALSE(next.has_value()) << RolloutStateName(state) << " " << static_cast<int>(event);
      } else {
        EXPECT_EQ(next, expected->second) << RolloutStateName(state) << " " << static_cast<int>(event);
      }
    }
  }
}

TEST(RolloutStateTest, ARefusalNamesTheStatesToStartFrom) {
  const absl::Status status = WrongState(S::kCompleted, E::kAbort);
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition, "WRONG_STATE"));
  EXPECT_NE(status.message().find("PLANNING, READY, RUNNING, PAUSED"), absl::string_view::npos) << status;
}

Rollout Running() {
  Rollout rollout;
  rollout.state = S::kRunning;
  rollout.spec.max_failures = 2;
  rollout.spec.max_concurrent = 3;
  rollout.counts = {.total = 10, .waiting = 8, .active = 2};
  return rollout;
}

// PLUS-4
TEST(RolloutTest, PausesWhenItsFailuresAreUsedUp) {
  Rollout rollout = Running();
  rollout.failures_since_go = 1;
  Settle(rollout, absl::UnixEpoch());
  EXPECT_EQ(rollout.state, S::kRunning);
  rollout.failures_since_go = 2;
  Settle(rollout, absl::UnixEpoch());
  EXPECT_EQ(rollout.state, S::kPaused);
  EXPECT_NE(rollout.state_reason, "");
  EXPECT_FALSE(rollout.end_time.has_value());
}

TEST(RolloutTest, CompletesWhenNothingIsLeftAlsoWhenTheLastOneFailed) {
  Rollout rollout = Running();
  rollout.counts = {.total = 2, .succeeded = 1, .failed = 1};
  rollout.failures_since_go = 2;
  Settle(rollout, absl::FromUnixSeconds(7));
  EXPECT_EQ(rollout.state, S::kCompleted);
  EXPECT_EQ(rollout.state_reason, "");
  EXPECT_EQ(rollout.end_time, absl::FromUnixSeconds(7));
}

TEST(RolloutTest, AnAbortedOneEndsWhenWhatWasBeyondRecallEnded) {
  Rollout rollout = Running();
  rollout.state = S::kAborted;
  rollout.counts = {.total = 2, .active = 1, .cancelled = 1};
  Settle(rollout, absl::UnixEpoch());
  EXPECT_FALSE(rollout.end_time.has_value());
  rollout.counts = {.total = 2, .succeeded = 1, .cancelled = 1};
  Settle(rollout, absl::UnixEpoch());
  EXPECT_EQ(rollout.state, S::kAborted);
  EXPECT_TRUE(rollout.end_time.has_value());
}

TEST(RolloutTest, APlannedOneIsNotCompletedBeforeItIsLaunched) {
  Rollout rollout;
  rollout.state = S::kReady;
  Settle(rollout, absl::UnixEpoch());
  EXPECT_EQ(rollout.state, S::kReady);
}

// PLUS-4
TEST(RolloutTest, CapacityIsWhatIsLeftOfMaxConcurrentWhileItRuns) {
  Rollout rollout = Running();
  EXPECT_EQ(Capacity(rollout, 500), 1);
  rollout.counts.active = 4;
  EXPECT_EQ(Capacity(rollout, 500), 0);
  rollout.spec.max_concurrent = 0;
  EXPECT_EQ(Capacity(rollout, 500), 500);
  rollout.state = S::kPaused;
  EXPECT_EQ(Capacity(rollout, 500), 0);
}

TEST(RolloutSpecTest, EachFieldHasItsLimits) {
  const RolloutSpec good = {.display_name = "May patches",
                            .releases = {"manufacturers/acme/releases/thermostat-2.0.1"}};
  EXPECT_OK(Validate(good));
  const auto refused = [&](auto change) {
    RolloutSpec spec = good;
    change(spec);
    EXPECT_THAT(Validate(spec), StatusIs(absl::StatusCode::kInvalidArgument, "ROLLOUT_INVALID"));
  };
  refused([](RolloutSpec& s) { s.display_name = ""; });
  refused([](RolloutSpec& s) { s.display_name = std::string(129, 'x'); });
  refused([](RolloutSpec& s) { s.releases = {}; });
  refused([](RolloutSpec& s) { s.releases = {"thermostat"}; });
  refused([](RolloutSpec& s) { s.releases = {"manufacturers/Acme/releases/x"}; });
  refused([](RolloutSpec& s) { s.releases.push_back(s.releases[0]); });
  refused([](RolloutSpec& s) { s.filter = std::string(2049, 'x'); });
  refused([](RolloutSpec& s) { s.max_concurrent = -1; });
  refused([](RolloutSpec& s) { s.max_failures = -1; });
  refused([](RolloutSpec& s) { s.assignment_timeout = absl::ZeroDuration(); });
  refused([](RolloutSpec& s) { s.assignment_timeout = absl::Hours(24 * 91); });
}

}  // namespace
}  // namespace countersign::rollout
