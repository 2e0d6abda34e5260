#include "tools/fleet/component.h"

#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::fleet {
namespace {

using ::testing::ElementsAre;

const absl::Time kStart = absl::FromUnixSeconds(1767225600);
const Product kProduct{"acme", "LAMP-1", "lamp-1", "1.0.0", false};

trust::VerifiedUpdate Update(const std::string& sha256 = std::string(64, 'a')) {
  return {.ecu_serial = "s-1",
          .hardware_id = "lamp-1",
          .path = "acme/lamp/lamp-2.0.0.bin",
          .length = 100,
          .sha256 = sha256,
          .version = "2.0.0",
          .release_counter = 20};
}

class ComponentTest : public ::testing::Test {
 protected:
  Component Make(Ending ending, Lie lie = Lie::kNone) {
    plan_ = {.serial = "s-1",
             .product = 0,
             .ending = ending,
             .download = absl::Seconds(1),
             .install = absl::Seconds(2),
             .reboot = absl::Seconds(3)};
    return Component(plan_, kProduct, lie, /*first_counter=*/100);
  }

  // Everything that is told until nothing is due any more, with the seconds at which it was.
  std::vector<std::pair<std::string, int64_t>> RunToItsEnd(Component& component) {
    std::vector<std::pair<std::string, int64_t>> told;
    while (component.next() != absl::InfiniteFuture()) {
      now_ = std::max(now_, component.next());
      const std::optional<Progress> due = component.Due(now_);
      if (!due.has_value()) break;
      told.push_back({std::string(ProgressName(*due)), absl::ToInt64Seconds(now_ - kStart)});
      component.Told(/*taken=*/true, now_);
    }
    return told;
  }

  ComponentPlan plan_;
  absl::Time now_ = kStart;
};

using Told = std::pair<std::string, int64_t>;

TEST_F(ComponentTest, InstallsStepByStepEachAtItsTime) {
  Component component = Make(Ending::kInstalls);
  ASSERT_TRUE(component.Offer(Update(), 1, kStart));
  EXPECT_THAT(RunToItsEnd(component),
              ElementsAre(Told("DOWNLOADING", 0), Told("DOWNLOADED", 1), Told("UPDATING", 1),
                          Told("REBOOT_PENDING", 3), Told("VERIFYING", 6)));
  EXPECT_EQ(component.running().version, "2.0.0");
  EXPECT_TRUE(component.changed());
  EXPECT_FALSE(component.busy());
}

TEST_F(ComponentTest, FailsBeforeItsReboot) {
  Component component = Make(Ending::kFails);
  ASSERT_TRUE(component.Offer(Update(), 1, kStart));
  EXPECT_THAT(RunToItsEnd(component), ElementsAre(Told("DOWNLOADING", 0), Told("DOWNLOADED", 1),
                                                  Told("UPDATING", 1), Told("FAILED", 3)));
  EXPECT_EQ(component.running().version, "1.0.0");
}

TEST_F(ComponentTest, RollsBackAfterItsReboot) {
  Component component = Make(Ending::kRollsBack);
  ASSERT_TRUE(component.Offer(Update(), 1, kStart));
  EXPECT_THAT(RunToItsEnd(component),
              ElementsAre(Told("DOWNLOADING", 0), Told("DOWNLOADED", 1), Told("UPDATING", 1),
                          Told("REBOOT_PENDING", 3), Told("ROLLED_BACK", 6)));
  EXPECT_EQ(component.running().version, "1.0.0");
}

TEST_F(ComponentTest, WhatIsDueStaysDueUntilItWasTold) {
  Component component = Make(Ending::kInstalls);
  ASSERT_TRUE(component.Offer(Update(), 1, kStart));
  EXPECT_EQ(component.Due(kStart), Progress::kDownloading);
  EXPECT_EQ(component.Due(kStart + absl::Hours(1)), Progress::kDownloading);
  component.Told(true, kStart);
  EXPECT_EQ(component.Due(kStart), std::nullopt);
}

TEST_F(ComponentTest, IsCalledOffWhenTheServerDoesNotTakeUpdating) {
  Component component = Make(Ending::kInstalls);
  ASSERT_TRUE(component.Offer(Update(), 1, kStart));
  component.Told(true, kStart);
  component.Told(true, kStart + absl::Seconds(1));
  ASSERT_EQ(component.Due(kStart + absl::Seconds(1)), Progress::kUpdating);
  component.Told(/*taken=*/false, kStart + absl::Seconds(1));
  EXPECT_FALSE(component.busy());
  EXPECT_EQ(component.running().version, "1.0.0");
  EXPECT_TRUE(component.Offer(Update(), 2, kStart + absl::Seconds(9)));
}

TEST_F(ComponentTest, TakesNoOfferThatItRunsIsBusyWithOrHasFailedWith) {
  Component installs = Make(Ending::kInstalls);
  ASSERT_TRUE(installs.Offer(Update(), 1, kStart));
  EXPECT_FALSE(installs.Offer(Update(std::string(64, 'b')), 2, kStart)) << "busy";
  RunToItsEnd(installs);
  EXPECT_FALSE(installs.Offer(Update(), 2, now_)) << "runs it";
  EXPECT_TRUE(installs.Offer(Update(std::string(64, 'b')), 2, now_));

  Component fails = Make(Ending::kFails);
  ASSERT_TRUE(fails.Offer(Update(), 1, now_));
  RunToItsEnd(fails);
  EXPECT_FALSE(fails.Offer(Update(), 1, now_)) << "has failed with it";
  EXPECT_TRUE(fails.Offer(Update(), 2, now_)) << "the Director says it once more";
}

TEST_F(ComponentTest, ADownloadThatIsNotWhatWasPromisedFails) {
  Component component = Make(Ending::kInstalls);
  ASSERT_TRUE(component.Offer(Update(), 1, kStart));
  component.Told(true, kStart);
  component.Refuse(kStart + absl::Seconds(1));
  EXPECT_THAT(RunToItsEnd(component), ElementsAre(Told("FAILED", 1)));
  EXPECT_EQ(component.running().version, "1.0.0");
}

TEST_F(ComponentTest, APostponedDownloadComesLater) {
  Component component = Make(Ending::kInstalls);
  ASSERT_TRUE(component.Offer(Update(), 1, kStart));
  component.Told(true, kStart);
  component.Postpone(kStart + absl::Seconds(7));
  EXPECT_EQ(component.Due(kStart + absl::Seconds(6)), std::nullopt);
  EXPECT_EQ(component.Due(kStart + absl::Seconds(7)), Progress::kDownloaded);
}

TEST_F(ComponentTest, ReportsWhatItRunsWithACounterThatRises) {
  Component component = Make(Ending::kInstalls);
  const trust::VersionReport first = component.Report("n1");
  EXPECT_EQ(first.report_counter, 101);
  EXPECT_EQ(first.nonce, "n1");
  EXPECT_EQ(first.version, "1.0.0");
  EXPECT_EQ(first.hardware_id, "lamp-1");
  EXPECT_FALSE(first.proxied);
  ASSERT_TRUE(component.Offer(Update(), 1, kStart));
  RunToItsEnd(component);
  const trust::VersionReport second = component.Report("n2");
  EXPECT_EQ(second.report_counter, 102);
  EXPECT_EQ(second.sha256, std::string(64, 'a'));
  EXPECT_EQ(second.release_counter, 20);
  EXPECT_FALSE(component.changed());
}

TEST_F(ComponentTest, GoesOnFromAnEarlierRun) {
  Component component = Make(Ending::kInstalls);
  component.Resume(
      {.path = "p", .length = 1, .sha256 = std::string(64, 'c'), .version = "3", .release_counter = 3}, 500);
  const trust::VersionReport report = component.Report("n");
  EXPECT_EQ(report.version, "3");
  EXPECT_EQ(report.report_counter, 501);
}

TEST_F(ComponentTest, LiesAsItWasPlannedTo) {
  Component replays = Make(Ending::kInstalls, Lie::kReplayedReport);
  EXPECT_EQ(replays.Report("n1").report_counter, 101);
  EXPECT_EQ(replays.Report("n2").report_counter, 101);

  EXPECT_NE(Make(Ending::kInstalls, Lie::kWrongHardware).Report("n").hardware_id, "lamp-1");

  Component digests = Make(Ending::kInstalls, Lie::kWrongDigest);
  const std::string factory = digests.running().sha256;
  EXPECT_EQ(digests.Report("n").sha256, factory);
  ASSERT_TRUE(digests.Offer(Update(), 1, now_));
  RunToItsEnd(digests);
  EXPECT_NE(digests.Report("n").sha256, std::string(64, 'a'));
}

}  // namespace
}  // namespace countersign::fleet
