#include "common/trust/secure_time.h"

#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/file/file.h"
#include "common/testing/fake_clock.h"
#include "common/testing/status_matchers.h"
#include "gtest/gtest.h"

namespace countersign::trust {
namespace {

class SecureTimeTest : public ::testing::Test {
 protected:
  SecureTimeTest()
      : path_(absl::StrCat(std::getenv("TEST_TMPDIR"), "/",
                           ::testing::UnitTest::GetInstance()->current_test_info()->name())) {}

  FakeClock clock_;
  const std::string path_;
};

TEST_F(SecureTimeTest, WithoutAFloorItIsTheClocks) {
  ASSERT_OK_AND_ASSIGN(const SecureTime time, SecureTime::Open(path_, clock_));
  EXPECT_EQ(time.Now(), clock_.Now());
  EXPECT_FALSE(time.behind());
}

TEST_F(SecureTimeTest, AClockThatIsSetBackDoesNotTakeTheTimeWithIt) {
  const absl::Time before = clock_.Now();
  ASSERT_OK_AND_ASSIGN(SecureTime time, SecureTime::Open(path_, clock_));
  clock_.Advance(absl::Hours(48));
  const absl::Time seen = clock_.Now();
  ASSERT_OK(time.Raise(seen));
  for (const absl::Time set : {before, absl::UnixEpoch(), absl::InfinitePast()}) {
    clock_.Set(set);
    EXPECT_EQ(time.Now(), seen);
    EXPECT_TRUE(time.behind());
    // Also after a restart.
    ASSERT_OK_AND_ASSIGN(const SecureTime again, SecureTime::Open(path_, clock_));
    EXPECT_EQ(again.Now(), seen);
    EXPECT_TRUE(again.behind());
  }
  clock_.Set(seen + absl::Hours(1));
  EXPECT_EQ(time.Now(), seen + absl::Hours(1));
  EXPECT_FALSE(time.behind());
}

TEST_F(SecureTimeTest, TheFloorNeverFalls) {
  ASSERT_OK_AND_ASSIGN(SecureTime time, SecureTime::Open(path_, clock_));
  const absl::Time seen = clock_.Now();
  ASSERT_OK(time.Raise(seen));
  ASSERT_OK(time.Raise(seen - absl::Hours(1)));
  EXPECT_EQ(time.floor(), seen);
  ASSERT_OK_AND_ASSIGN(const SecureTime again, SecureTime::Open(path_, clock_));
  EXPECT_EQ(again.floor(), seen);
}

TEST_F(SecureTimeTest, AFileThatIsNoTimeIsNotTakenForNone) {
  ASSERT_OK(WriteFileAtomically(path_, "yesterday"));
  EXPECT_THAT(SecureTime::Open(path_, clock_).status(),
              StatusIs(absl::StatusCode::kDataLoss, "STATE_DAMAGED"));
}

}  // namespace
}  // namespace countersign::trust
