#include "tools/device/boot.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace countersign::device {
namespace {

constexpr int64_t kCounter = 7;

BootState Running(Slot active) { return BootState{.active = active, .release_floor = 3}; }
BootState Provisional(Slot active) {
  return EndBoot(BeginBoot(Activate(Running(active), "f00d", "bundle-1")), /*healthy=*/true, kCounter);
}

TEST(BootTest, WithoutATrialABootChangesNothing) {
  for (Slot slot : {Slot::kA, Slot::kB}) {
    EXPECT_EQ(BeginBoot(Running(slot)), Running(slot));
    EXPECT_EQ(RunningSlot(Running(slot)), slot);
  }
}

TEST(BootTest, AnActivatedImageRunsOnlyAfterItsTrial) {
  const BootState activated = Activate(Running(Slot::kA), "f00d");
  EXPECT_EQ(activated.stage, Stage::kTrial);
  EXPECT_EQ(RunningSlot(activated), Slot::kA);
  const BootState begun = BeginBoot(activated);
  EXPECT_EQ(begun.tries, 1);
  EXPECT_EQ(RunningSlot(begun), Slot::kA);
  const BootState ended = EndBoot(begun, /*healthy=*/true, kCounter);
  EXPECT_EQ(ended.stage, Stage::kSettled);
  EXPECT_EQ(RunningSlot(ended), Slot::kB);
  EXPECT_EQ(ended.outcome, Outcome::kCameUp);
  EXPECT_EQ(ended.trial_sha256, "f00d");
  EXPECT_EQ(ended.release_floor, kCounter);
  EXPECT_EQ(BeginBoot(ended), ended);
}

// FOTA-P2
TEST(BootTest, AnImageThatIsNotWellGoesBack) {
  const BootState ended =
      EndBoot(BeginBoot(Activate(Running(Slot::kB), "f00d")), /*healthy=*/false, kCounter);
  EXPECT_EQ(ended.stage, Stage::kSettled);
  EXPECT_EQ(RunningSlot(ended), Slot::kB);
  EXPECT_EQ(ended.outcome, Outcome::kRolledBack);
  EXPECT_EQ(ended.release_floor, 3) << "what never ran for good does not count";
}

// FOTA-P2: whatever stops a boot, power cuts included, it is not begun for ever.
TEST(BootTest, ATrialThatNeverEndsIsGivenUp) {
  for (const char* bundle : {"", "bundle-1"}) {
    BootState state = Activate(Running(Slot::kA), "f00d", bundle);
    for (int boot = 1; boot <= kMaxTries; ++boot) {
      state = BeginBoot(state);
      EXPECT_EQ(state.stage, Stage::kTrial);
      EXPECT_EQ(state.tries, boot);
    }
    state = BeginBoot(state);
    EXPECT_EQ(state.stage, Stage::kSettled);
    EXPECT_EQ(RunningSlot(state), Slot::kA);
    EXPECT_EQ(state.outcome, Outcome::kRolledBack);
  }
}

TEST(BootTest, AnImageOfABundleRunsProvisionallyAndKeepsWhatWasBefore) {
  const BootState state = Provisional(Slot::kA);
  EXPECT_EQ(state.stage, Stage::kProvisional);
  EXPECT_EQ(state.active, Slot::kA);
  EXPECT_EQ(RunningSlot(state), Slot::kB);
  EXPECT_EQ(state.outcome, Outcome::kCameUp);
  EXPECT_EQ(state.release_floor, 3) << "it may still be taken back";
}

TEST(BootTest, AProvisionalImageThatBootsStaysProvisional) {
  BootState state = Provisional(Slot::kA);
  for (int boot = 0; boot < 2 * kMaxTries; ++boot) {
    const BootState begun = BeginBoot(state);
    EXPECT_EQ(begun.tries, 1);
    EXPECT_EQ(EndBoot(begun, /*healthy=*/true, kCounter), state);
  }
}

// FOTA-P2
TEST(BootTest, AProvisionalImageThatDoesNotComeUpAnyMoreGoesBack) {
  BootState state = EndBoot(BeginBoot(Provisional(Slot::kA)), /*healthy=*/false, 0);
  EXPECT_EQ(RunningSlot(state), Slot::kA);
  EXPECT_EQ(state.outcome, Outcome::kRolledBack);
  state = Provisional(Slot::kA);
  for (int boot = 0; boot < kMaxTries; ++boot) state = BeginBoot(state);
  state = BeginBoot(state);
  EXPECT_EQ(RunningSlot(state), Slot::kA);
  EXPECT_EQ(state.outcome, Outcome::kRolledBack);
}

TEST(BootTest, CommitGivesTheOldImageUpAndRevertTheNewOne) {
  const BootState committed = Commit(Provisional(Slot::kA), kCounter);
  EXPECT_EQ(committed.stage, Stage::kSettled);
  EXPECT_EQ(RunningSlot(committed), Slot::kB);
  EXPECT_EQ(committed.release_floor, kCounter);
  EXPECT_EQ(committed.outcome, Outcome::kCameUp);
  const BootState reverted = Revert(Provisional(Slot::kA));
  EXPECT_EQ(reverted.stage, Stage::kSettled);
  EXPECT_EQ(RunningSlot(reverted), Slot::kA);
  EXPECT_EQ(reverted.release_floor, 3);
  EXPECT_EQ(reverted.outcome, Outcome::kReverted);
}

TEST(BootTest, ATrialThatIsPutOffIsAsIfItHadNotBeen) {
  const BootState state = Postpone(BeginBoot(Activate(Running(Slot::kA), "f00d")));
  EXPECT_EQ(state.stage, Stage::kSettled);
  EXPECT_EQ(RunningSlot(state), Slot::kA);
  EXPECT_EQ(state.outcome, Outcome::kPostponed);
  EXPECT_EQ(state.tries, 0);
}

TEST(BootTest, TheFloorOfReleaseCountersNeverFalls) {
  BootState state = Running(Slot::kA);
  state.release_floor = 9;
  EXPECT_EQ(EndBoot(BeginBoot(Activate(state, "f00d")), true, kCounter).release_floor, 9);
  EXPECT_EQ(Damaged(state, "f00d", "damaged", true).release_floor, 9);
  EXPECT_EQ(Damaged(state, "f00d", "damaged", false).release_floor, 9);
}

TEST(BootTest, ADamagedImageIsReplacedByTheOtherIfItCan) {
  const BootState fell = Damaged(Running(Slot::kA), "f00d", "damaged", /*other_runs=*/true);
  EXPECT_EQ(RunningSlot(fell), Slot::kB);
  EXPECT_EQ(fell.outcome, Outcome::kFellBack);
  EXPECT_EQ(fell.damage, "damaged");
  EXPECT_EQ(EndBoot(BeginBoot(Activate(fell, "beef")), true, kCounter).damage, "")
      << "a new image that runs makes good for it";
  const BootState stopped = Damaged(Running(Slot::kA), "f00d", "damaged", /*other_runs=*/false);
  EXPECT_EQ(RunningSlot(stopped), Slot::kA);
  EXPECT_EQ(stopped.outcome, Outcome::kNoImage);
}

}  // namespace
}  // namespace countersign::device
