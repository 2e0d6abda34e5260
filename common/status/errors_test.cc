#include "common/status/errors.h"

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/cord.h"
#include "common/status/macros.h"
#include "common/testing/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign {
namespace {

using ::testing::HasSubstr;

TEST(ErrorsTest, AnErrorCarriesItsReasonAndMetadata) {
  const std::string long_value(1000, 'x');
  const absl::Status status = Error(absl::StatusCode::kNotFound, "TARGET_UNKNOWN", "no such target",
                                    {{"path", "a/b"}, {"long", long_value}});
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kNotFound, "TARGET_UNKNOWN"));
  const std::optional<ErrorInfo> info = ErrorInfoOf(status);
  ASSERT_TRUE(info.has_value());
  EXPECT_EQ(info->domain, "countersign");
  EXPECT_EQ(info->metadata.at("path"), "a/b");
  EXPECT_EQ(info->metadata.at("long"), long_value);
}

TEST(ErrorsTest, AStatusWithoutErrorInfoHasNoReason) {
  EXPECT_EQ(ReasonOf(absl::OkStatus()), "");
  EXPECT_EQ(ReasonOf(absl::InternalError("x")), "");
}

TEST(ErrorsTest, APayloadThatCannotBeReadIsNoErrorInfo) {
  absl::Status status = absl::InternalError("x");
  for (const std::string& bytes : {std::string("\x0a\x7fshort"), std::string("\x0a"), std::string("\x08\x01"),
                                   std::string("\x0a\xff\xff\xff\xff\xff\xff")}) {
    status.SetPayload(kErrorInfoTypeUrl, absl::Cord(bytes));
    EXPECT_FALSE(ErrorInfoOf(status).has_value());
  }
}

TEST(ErrorsTest, AnnotateKeepsTheReason) {
  const absl::Status status =
      Annotate(Error(absl::StatusCode::kAborted, "ETAG_MISMATCH", "read it again"), "rollout 7");
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kAborted, "ETAG_MISMATCH"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("rollout 7: read it again"));
  EXPECT_THAT(Annotate(absl::OkStatus(), "x"), IsOk());
}

absl::StatusOr<int> Half(int n) {
  if (n % 2 != 0) return Error(absl::StatusCode::kInvalidArgument, "ODD", "give an even number");
  return n / 2;
}

absl::StatusOr<int> Quarter(int n) {
  ASSIGN_OR_RETURN(const int half, Half(n));
  RETURN_IF_ERROR(Half(half).status());
  return half / 2;
}

TEST(MacrosTest, ErrorsReturnAndValuesAreAssigned) {
  EXPECT_THAT(Quarter(8), IsOkAndHolds(2));
  EXPECT_THAT(Quarter(3), StatusIs(absl::StatusCode::kInvalidArgument, "ODD"));
  EXPECT_THAT(Quarter(6), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace countersign
