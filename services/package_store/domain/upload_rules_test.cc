#include "services/package_store/domain/upload_rules.h"

#include <cstdint>
#include <limits>

#include "common/testing/status_matchers.h"
#include "gtest/gtest.h"

namespace countersign::package_store {
namespace {

constexpr int64_t kMax = std::numeric_limits<int64_t>::max();

TEST(UploadRulesTest, AnImageHasOneToTwoToTheFortyBytes) {
  EXPECT_OK(CheckImageLength(1));
  EXPECT_OK(CheckImageLength(int64_t{1} << 40));
  for (int64_t bad : {int64_t{0}, int64_t{-1}, (int64_t{1} << 40) + 1, kMax}) {
    EXPECT_THAT(CheckImageLength(bad), StatusIs(absl::StatusCode::kInvalidArgument, "LENGTH_INVALID"));
  }
}

TEST(UploadRulesTest, AQuotaIsExactAndDoesNotOverflow) {
  const auto exceeded = StatusIs(absl::StatusCode::kResourceExhausted, "QUOTA_EXCEEDED");
  EXPECT_OK(CheckQuota(0, 10, 10));
  EXPECT_OK(CheckQuota(9, 1, 10));
  EXPECT_THAT(CheckQuota(10, 1, 10), exceeded);
  EXPECT_THAT(CheckQuota(0, 11, 10), exceeded);
  EXPECT_THAT(CheckQuota(kMax, 1, kMax), exceeded);
  EXPECT_THAT(CheckQuota(1, kMax, 10), exceeded);
}

TEST(UploadRulesTest, AChunkGoesOnWhereTheUploadStands) {
  EXPECT_OK(CheckChunk(0, 10, 0, 10));
  EXPECT_OK(CheckChunk(9, 10, 9, 1));
  EXPECT_THAT(CheckChunk(5, 10, 4, 1), StatusIs(absl::StatusCode::kOutOfRange, "OFFSET_MISMATCH"));
  EXPECT_THAT(CheckChunk(5, 10, -5, 1), StatusIs(absl::StatusCode::kOutOfRange, "OFFSET_MISMATCH"));
  EXPECT_THAT(CheckChunk(5, 10, 5, 6), StatusIs(absl::StatusCode::kInvalidArgument, "LENGTH_EXCEEDED"));
  EXPECT_THAT(CheckChunk(0, 10, 0, 0), StatusIs(absl::StatusCode::kInvalidArgument, "CHUNK_INVALID"));
  EXPECT_THAT(CheckChunk(0, kMax, 0, (1 << 20) + 1),
              StatusIs(absl::StatusCode::kInvalidArgument, "CHUNK_INVALID"));
}

TEST(UploadRulesTest, ARangeIsWithinTheImage) {
  int64_t count = 0;
  ASSERT_OK(CheckRange(10, 0, 0, &count));
  EXPECT_EQ(count, 10);
  ASSERT_OK(CheckRange(10, 9, kMax, &count));
  EXPECT_EQ(count, 1);
  ASSERT_OK(CheckRange(10, 2, 3, &count));
  EXPECT_EQ(count, 3);
  EXPECT_THAT(CheckRange(10, 10, 0, &count), StatusIs(absl::StatusCode::kOutOfRange, "RANGE_INVALID"));
  EXPECT_THAT(CheckRange(10, -1, 0, &count), StatusIs(absl::StatusCode::kInvalidArgument, "RANGE_INVALID"));
  EXPECT_THAT(CheckRange(10, 0, -1, &count), StatusIs(absl::StatusCode::kInvalidArgument, "RANGE_INVALID"));
}

}  // namespace
}  // namespace countersign::package_store
