#include "common/db/page_token.h"

#include <string>

#include "absl/strings/escaping.h"
#include "common/testing/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::db {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(PageTokenTest, KeysComeBack) {
  const std::string token = EncodePageToken("rollouts", {"2026-01-01", "", "r/1:\xff"});
  EXPECT_THAT(DecodePageToken("rollouts", token, 3), IsOkAndHolds(ElementsAre("2026-01-01", "", "r/1:\xff")));
}

TEST(PageTokenTest, TheEmptyTokenIsTheFirstPage) {
  EXPECT_THAT(DecodePageToken("rollouts", "", 2), IsOkAndHolds(IsEmpty()));
}

TEST(PageTokenTest, ATokenOfAnotherListIsRefused) {
  const std::string token = EncodePageToken("rollouts of acme", {"a"});
  EXPECT_THAT(DecodePageToken("rollouts of other", token, 1),
              StatusIs(absl::StatusCode::kInvalidArgument, "PAGE_TOKEN_INVALID"));
  EXPECT_THAT(DecodePageToken("rollouts of acme", token, 2), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(PageTokenTest, AnythingElseIsRefused) {
  const std::string token = EncodePageToken("s", {"key", "other"});
  for (std::size_t length = 1; length < token.size(); ++length) {
    EXPECT_THAT(DecodePageToken("s", token.substr(0, length), 2),
                StatusIs(absl::StatusCode::kInvalidArgument, "PAGE_TOKEN_INVALID"));
  }
  std::string bytes;
  ASSERT_TRUE(absl::WebSafeBase64Unescape(token, &bytes));
  for (const std::string& bad :
       {std::string("%"), std::string(5000, 'A'), absl::WebSafeBase64Escape(bytes + "x"),
        absl::WebSafeBase64Escape(bytes + std::string("\xff\xff\xff\xff", 4))}) {
    EXPECT_THAT(DecodePageToken("s", bad, 2), StatusIs(absl::StatusCode::kInvalidArgument));
  }
  EXPECT_THAT(DecodePageToken("s", EncodePageToken("s", {std::string("\0", 1)}), 1),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(PageTokenTest, PageSizesAreWithinTheirLimits) {
  EXPECT_THAT(PageSize(0, 50, 1000), IsOkAndHolds(50));
  EXPECT_THAT(PageSize(7, 50, 1000), IsOkAndHolds(7));
  EXPECT_THAT(PageSize(5000, 50, 1000), IsOkAndHolds(1000));
  EXPECT_THAT(PageSize(-1, 50, 1000), StatusIs(absl::StatusCode::kInvalidArgument, "PAGE_SIZE_INVALID"));
}

}  // namespace
}  // namespace countersign::db
