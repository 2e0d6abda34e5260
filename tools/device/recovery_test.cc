// FOTA-P2, FOTA-R2: flash that loses its bytes.
#include <filesystem>
#include <string>

#include "common/crypto/digest.h"
#include "common/testing/status_matchers.h"
#include "gmock/gmock.h"
#include "tools/device/test_device.h"

namespace countersign::device {
namespace {

using ::testing::HasSubstr;

class RecoveryTest : public DeviceTest {
 protected:
  std::string Slot(const std::string& name) const { return ComponentFolder() + "/slot-" + name; }
  static std::string Factory() { return crypto::Sha256Hex(kFactoryImage); }
};

TEST_F(RecoveryTest, ADamagedImageIsReplacedByTheOneThatRanBefore) {
  ExpectWorks();
  Damage(Slot("b") + "/image");
  Boot();
  EXPECT_EQ(component().running().version, "1.0.0");
  EXPECT_TRUE(operates_.at(kEcu));
  ExpectEnd(common::v1::UPDATE_PHASE_ROLLED_BACK, common::v1::FAILURE_REASON_INTEGRITY,
            offer_.approved().sha256);
  EXPECT_THAT(Describe().damage(), HasSubstr(offer_.approved().sha256));
  // The server hears of it with the component's signature, for as long as it is so.
  for (int i = 0; i < 2; ++i) {
    const trust::VersionReport report = Report();
    EXPECT_EQ(report.sha256, Factory());
    EXPECT_EQ(report.release_counter, 0);
    EXPECT_THAT(report.attacks_detected, HasSubstr(offer_.approved().sha256));
    Boot();
  }
  // Attack: image rollback. The way back was the flash's, not anybody's choice: the counter stands.
  offer_.Release("an older image with a known hole", 1, "9.0.0");
  ExpectRefused(common::v1::FAILURE_REASON_ROLLBACK_ATTEMPT);
  offer_.Release("the new image", 2, "2.0.0");
  ExpectWorks();
  EXPECT_EQ(Report().attacks_detected, "");
}

TEST_F(RecoveryTest, AnImageThatIsGoneAltogetherIsReplacedToo) {
  ExpectWorks();
  std::filesystem::remove_all(Slot("b"));
  Boot();
  EXPECT_EQ(Report().sha256, Factory());
  EXPECT_NE(Report().attacks_detected, "");
}

// What is verified and waits for its turn is better than nothing.
TEST_F(RecoveryTest, ADamagedImageIsReplacedByOneThatWasInstalledAndNotYetTried) {
  ExpectInstalls();
  Damage(Slot("a") + "/image");
  Boot();
  EXPECT_EQ(Report().sha256, offer_.approved().sha256);
}

TEST_F(RecoveryTest, OneThatWasNotYetTriedMustBeWellToReplaceADamagedImage) {
  ExpectInstalls();
  Damage(Slot("a") + "/image");
  Boot(/*healthy=*/false);
  EXPECT_FALSE(operates_.at(kEcu));
  EXPECT_NE(Report().sha256, offer_.approved().sha256);
  Boot();
  EXPECT_FALSE(operates_.at(kEcu)) << "it had its turn";
}

// FOTA-P2: what failed once is no way out, and neither is nothing: the device waits for an image.
TEST_F(RecoveryTest, WithNoImageLeftTheDeviceDoesNotOperateAndTakesANewOne) {
  ExpectInstalls();
  ASSERT_OK(Activate());
  Boot(/*healthy=*/false);
  ASSERT_EQ(component().running().version, "1.0.0");
  Damage(Slot("a") + "/image");
  for (int i = 0; i < 2; ++i) {
    Boot();
    EXPECT_FALSE(operates_.at(kEcu));
    EXPECT_TRUE(operates_.at(kOtherEcu)) << "one component's flash is not the other's";
    EXPECT_EQ(Describe().last_update(), common::v1::UPDATE_PHASE_FAILED);
    EXPECT_EQ(Describe().failure_reason(), common::v1::FAILURE_REASON_ROLLBACK_FAILED);
    // The report has what is there, which is no release's.
    const trust::VersionReport report = Report();
    EXPECT_NE(report.sha256, Factory());
    EXPECT_EQ(report.version, "");
    EXPECT_NE(report.attacks_detected, "");
  }
  ExpectWorks();
  EXPECT_TRUE(operates_.at(kEcu));
  EXPECT_EQ(Report().attacks_detected, "");
}

// The new image fails, and the old one is damaged.
TEST_F(RecoveryTest, ARollbackThatFailsIsSaidAsSuch) {
  ExpectInstalls();
  ASSERT_OK(Activate());
  Damage(Slot("a") + "/image");
  Boot(/*healthy=*/false);
  ExpectEnd(common::v1::UPDATE_PHASE_FAILED, common::v1::FAILURE_REASON_ROLLBACK_FAILED,
            offer_.approved().sha256);
  EXPECT_FALSE(operates_.at(kEcu));
  ExpectWorks();
}

}  // namespace
}  // namespace countersign::device
