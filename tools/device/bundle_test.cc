// Bundles: an image runs provisionally until all of its bundle is known to be well (or not).
#include <string>

#include "common/crypto/digest.h"
#include "common/testing/status_matchers.h"
#include "gmock/gmock.h"
#include "tools/device/test_device.h"

namespace countersign::device {
namespace {

const auto kNotProvisional = StatusIs(absl::StatusCode::kFailedPrecondition, "NOT_PROVISIONAL");

class BundleTest : public DeviceTest {
 protected:
  // The image of the offer runs provisionally.
  void RunProvisionally() {
    ExpectInstalls();
    ASSERT_OK(Activate(offer_.approved().sha256, kEcu, "bundle-1"));
    Boot();
    ASSERT_TRUE(Describe().provisional());
    ASSERT_EQ(component().running().version, "2.0.0");
  }
  std::string New() { return offer_.approved().sha256; }
  static std::string Old() { return crypto::Sha256Hex(kFactoryImage); }
};

TEST_F(BundleTest, AProvisionalImageRunsAndStaysProvisionalThroughRestarts) {
  RunProvisionally();
  for (int i = 0; i < 2 * kMaxTries; ++i) {
    Boot();
    EXPECT_EQ(Report().sha256, New());
    EXPECT_TRUE(Describe().provisional());
    EXPECT_EQ(Describe().bundle(), "bundle-1");
    ExpectEnd(common::v1::UPDATE_PHASE_VERIFYING, common::v1::FAILURE_REASON_UNSPECIFIED, New());
  }
}

TEST_F(BundleTest, ACommittedImageRunsForGood) {
  RunProvisionally();
  EXPECT_THAT(Commit(Old()), kNotProvisional);
  ASSERT_OK(Commit(New()));
  EXPECT_OK(Commit(New())) << "whoever did not hear the answer asks again";
  EXPECT_FALSE(Describe().provisional());
  EXPECT_THAT(Revert(New()), kNotProvisional);
  Boot();
  EXPECT_EQ(Report().sha256, New());
  EXPECT_EQ(reboots_, 1);
  // Its release counter counts from now on.
  offer_.Release("an older image with a known hole", 1, "9.0.0");
  ExpectRefused(common::v1::FAILURE_REASON_ROLLBACK_ATTEMPT);
}

// FOTA-P2: one of the bundle fails, all go back.
TEST_F(BundleTest, ARevertedImageMakesWayForTheOldOne) {
  RunProvisionally();
  ASSERT_OK(Revert(New()));
  EXPECT_EQ(reboots_, 2);
  EXPECT_THAT(Commit(New()), StatusIs(absl::StatusCode::kUnavailable, "REBOOTING"));
  Boot();
  EXPECT_EQ(Report().sha256, Old());
  ExpectEnd(common::v1::UPDATE_PHASE_ROLLED_BACK, common::v1::FAILURE_REASON_DEPENDENCY, New());
  EXPECT_THAT(Activate(), StatusIs(absl::StatusCode::kFailedPrecondition, "NOT_INSTALLED"));
  EXPECT_THAT(Commit(New()), kNotProvisional);
  // The counter of what was taken back does not count: a repaired release may have the same.
  ExpectWorks();
}

// FOTA-P2
TEST_F(BundleTest, AProvisionalImageThatFailsLaterGoesBackByItself) {
  RunProvisionally();
  Boot(/*healthy=*/false);
  EXPECT_EQ(Report().sha256, Old());
  ExpectEnd(common::v1::UPDATE_PHASE_ROLLED_BACK, common::v1::FAILURE_REASON_UPDATE_FAILED, New());
  EXPECT_FALSE(Describe().provisional());
}

// FOTA-P2, FOTA-R2
TEST_F(BundleTest, AProvisionalImageThatIsDamagedGoesBackByItself) {
  RunProvisionally();
  Damage(ComponentFolder() + "/slot-b/image");
  Boot();
  EXPECT_EQ(Report().sha256, Old());
  EXPECT_FALSE(Describe().provisional());
}

TEST_F(BundleTest, NothingIsInstalledOverWhatItMayHaveToGoBackTo) {
  RunProvisionally();
  offer_.Release("a newer image", 3, "3.0.0");
  const v1::InstallImageResponse response = Send();
  EXPECT_FALSE(response.installed());
  EXPECT_EQ(response.failure_reason(), common::v1::FAILURE_REASON_CONFLICT) << response.failure_detail();
  EXPECT_TRUE(Describe().provisional());
  ASSERT_OK(Revert(component().running().sha256));
  Boot();
  EXPECT_EQ(Report().sha256, Old());
}

// FOTA-R5: outside of a provisional run nobody brings an old image back, or makes a new one final.
TEST_F(BundleTest, CommitAndRevertThatNobodyPreparedChangeNothing) {
  EXPECT_THAT(Revert(Old()), kNotProvisional);
  EXPECT_OK(Commit(Old())) << "it runs for good";
  ExpectInstalls();
  EXPECT_THAT(Commit(New()), kNotProvisional);
  EXPECT_THAT(Revert(New()), kNotProvisional);
  ASSERT_OK(Activate());
  Boot();
  EXPECT_THAT(Revert(New()), kNotProvisional);
  EXPECT_THAT(Revert(Old()), kNotProvisional);
  EXPECT_EQ(Report().sha256, New());
  EXPECT_EQ(reboots_, 1);
}

// What the Director signed decides, not who speaks on the link.
TEST_F(BundleTest, ABundleThatTheDirectorNamesCannotBeLeftOutOrExchanged) {
  offer_.ordered().custom.ecu_identifiers[kEcu].bundle = "bundle-7";
  offer_.Publish();
  ExpectInstalls();
  EXPECT_THAT(Activate(New(), kEcu, "bundle-8"),
              StatusIs(absl::StatusCode::kFailedPrecondition, "BUNDLE_MISMATCH"));
  ASSERT_OK(Activate(New(), kEcu, ""));
  Boot();
  EXPECT_TRUE(Describe().provisional());
  EXPECT_EQ(Describe().bundle(), "bundle-7");
}

}  // namespace
}  // namespace countersign::device
