#include "services/package_store/domain/delta_rules.h"

#include <string>

#include "common/testing/status_matchers.h"
#include "gtest/gtest.h"

namespace countersign::package_store {
namespace {

TEST(DeltaRulesTest, ADeltaIsOfTwoImagesThatDiffer) {
  const std::string a(64, 'a'), b(64, 'b');
  EXPECT_OK(CheckDeltaPair(a, b));
  EXPECT_THAT(CheckDeltaPair(a, a), StatusIs(absl::StatusCode::kInvalidArgument, "SAME_IMAGE"));
  EXPECT_THAT(CheckDeltaPair("a", b), StatusIs(absl::StatusCode::kInvalidArgument, "NAME_INVALID"));
  EXPECT_THAT(CheckDeltaPair(a, ""), StatusIs(absl::StatusCode::kInvalidArgument, "NAME_INVALID"));
}

TEST(DeltaRulesTest, AtLeastAThirdIsSaved) {
  EXPECT_EQ(MaxDeltaBytes(1), 0);
  EXPECT_EQ(MaxDeltaBytes(2), 1);
  EXPECT_EQ(MaxDeltaBytes(3), 2);
  EXPECT_EQ(MaxDeltaBytes(300), 200);
  for (int64_t length = 1; length < 100; ++length) {
    EXPECT_GE(3 * (length - MaxDeltaBytes(length)), length);
    EXPECT_LT(3 * (length - MaxDeltaBytes(length) - 1), length);
  }
  EXPECT_EQ(MaxDeltaBytes(int64_t{3} << 60), int64_t{2} << 60);
}

TEST(DeltaRulesTest, TheQueueIsBoundedForOneAndForAll) {
  EXPECT_OK(CheckDeltaQueue(0, 1, 0, 1));
  EXPECT_THAT(CheckDeltaQueue(1, 1, 1, 9), StatusIs(absl::StatusCode::kResourceExhausted, "TOO_MANY_DELTAS"));
  EXPECT_THAT(CheckDeltaQueue(0, 1, 9, 9), StatusIs(absl::StatusCode::kResourceExhausted, "TOO_MANY_DELTAS"));
}

TEST(DeltaRulesTest, TheDelayGrowsWithWhatIsToBeReadAndHasAnEnd) {
  EXPECT_EQ(DeltaDelay(0), absl::Seconds(1));
  EXPECT_EQ(DeltaDelay(20 << 20), absl::Seconds(6));
  EXPECT_EQ(DeltaDelay(int64_t{1} << 60), absl::Seconds(60));
}

}  // namespace
}  // namespace countersign::package_store
