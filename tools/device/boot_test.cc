#include "tools/device/boot.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace countersign::device {
namespace {

BootState Running(Slot active) { return BootState{.active = active}; }

TEST(BootTest, WithoutATrialABootChangesNothing) {
  for (Slot slot : {Slot::kA, Slot::kB}) EXPECT_EQ(BeginBoot(Running(slot)), Running(slot));
}

TEST(BootTest, AnActivatedImageRunsOnlyAfterItsTrial) {
  const BootState activated = Activate(Running(Slot::kA), "f00d");
  EXPECT_EQ(activated.active, Slot::kA);
  EXPECT_TRUE(activated.trial);
  const BootState confirmed = EndTrial(BeginBoot(activated), /*healthy=*/true);
  EXPECT_EQ(confirmed.active, Slot::kB);
  EXPECT_FALSE(confirmed.trial);
  EXPECT_EQ(confirmed.outcome, Outcome::kConfirmed);
  EXPECT_EQ(confirmed.trial_sha256, "f00d");
}

// FOTA-P2
TEST(BootTest, AnImageThatIsNotHealthyLeavesTheOldSlotActive) {
  const BootState back = EndTrial(BeginBoot(Activate(Running(Slot::kB), "f00d")), /*healthy=*/false);
  EXPECT_EQ(back.active, Slot::kB);
  EXPECT_FALSE(back.trial);
  EXPECT_EQ(back.outcome, Outcome::kRolledBack);
}

// FOTA-P2
TEST(BootTest, ATrialThatNeverEndsIsGivenUpAfterItsTries) {
  BootState state = Activate(Running(Slot::kA), "f00d");
  for (int i = 0; i < kMaxTries; ++i) {
    state = BeginBoot(state);
    ASSERT_TRUE(state.trial) << "boot " << i;
  }
  state = BeginBoot(state);
  EXPECT_FALSE(state.trial);
  EXPECT_EQ(state.active, Slot::kA);
  EXPECT_EQ(state.outcome, Outcome::kRolledBack);
}

TEST(BootTest, ANewTrialForgetsTheOutcomeOfTheLast) {
  const BootState back = EndTrial(BeginBoot(Activate(Running(Slot::kA), "f00d")), /*healthy=*/false);
  const BootState again = Activate(back, "beef");
  EXPECT_EQ(again.outcome, Outcome::kNone);
  EXPECT_EQ(again.tries, 0);
  EXPECT_EQ(again.trial_sha256, "beef");
}

}  // namespace
}  // namespace countersign::device
