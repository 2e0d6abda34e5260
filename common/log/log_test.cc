#include "common/log/log.h"

#include <string>
#include <thread>

#include "common/testing/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace countersign::log {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const absl::Time kNoon = absl::FromUnixMicros(1767268800123456);

TEST(LogTest, ALineIsOneJsonObjectWithTimeLevelAndMessageFirst) {
  EXPECT_EQ(
      FormatLine(Level::kInfo, kNoon, "created", {{"rollout", "r-17"}, {"waves", 3}, {"paused", false}}),
      R"({"time":"2026-01-01T12:00:00.123456Z","level":"info","message":"created",)"
      R"("rollout":"r-17","waves":3,"paused":false})");
}

TEST(LogTest, WhatComesFromOutsideCannotStartALineOrEndAString) {
  const std::string line = FormatLine(Level::kError, kNoon, "bad\r\n{\"level\":\"info\"}",
                                      {{"a\"b\n", std::string("\0\x7f\\", 3)}});
  EXPECT_THAT(line, Not(HasSubstr("\n")));
  EXPECT_THAT(line, Not(HasSubstr("\r")));
  const nlohmann::json parsed = nlohmann::json::parse(line);
  EXPECT_EQ(parsed["level"], "error");
  EXPECT_EQ(parsed["message"], "bad\r\n{\"level\":\"info\"}");
  EXPECT_EQ(parsed["a\"b\n"], std::string("\0\x7f\\", 3));
}

TEST(LogTest, BytesThatAreNotUtf8BecomeTheReplacementCharacter) {
  const std::string line =
      FormatLine(Level::kInfo, kNoon, "m", {{"v", "ok \xc3\xa9 bad \xff \xed\xa0\x80 \xc0\xaf"}});
  const nlohmann::json parsed = nlohmann::json::parse(line);
  EXPECT_THAT(parsed["v"].get<std::string>(), HasSubstr("ok \u00e9 bad \ufffd"));
}

TEST(LogTest, ALongValueIsCut) {
  EXPECT_LT(FormatLine(Level::kInfo, kNoon, "m", {{"v", std::string(1 << 20, 'x')}}).size(), 5000u);
}

TEST(LogTest, NumbersThatJsonLacksBecomeText) {
  const nlohmann::json parsed = nlohmann::json::parse(FormatLine(
      Level::kInfo, kNoon, "m", {{"nan", 0.0 / 0.0}, {"half", 0.5}, {"took", absl::Milliseconds(1500)}}));
  EXPECT_EQ(parsed["nan"], "nan");
  EXPECT_EQ(parsed["half"], 0.5);
  EXPECT_EQ(parsed["took"], 1.5);
}

TEST(LogTest, AStatusIsItsCodeAndMessage) {
  EXPECT_THAT(FormatLine(Level::kWarn, kNoon, "m", {{"status", absl::NotFoundError("no gateway gw-1")}}),
              HasSubstr(R"("status":"NOT_FOUND: no gateway gw-1")"));
}

TEST(LogTest, RequestIdsNestAndBelongToTheirThread) {
  ScopedRequestId outer("outer");
  {
    ScopedRequestId inner("inner");
    EXPECT_THAT(FormatLine(Level::kInfo, kNoon, "m", {}), HasSubstr(R"("request_id":"inner")"));
    std::thread([] { EXPECT_EQ(CurrentRequestId(), ""); }).join();
  }
  EXPECT_EQ(CurrentRequestId(), "outer");
}

TEST(LogTest, WhatIsBelowTheLevelIsNotWritten) {
  EXPECT_FALSE(Enabled(Level::kDebug));
  ASSERT_OK(SetLevel("debug"));
  EXPECT_TRUE(Enabled(Level::kDebug));
  ASSERT_OK(SetLevel("error"));
  EXPECT_FALSE(Enabled(Level::kWarn));
  EXPECT_THAT(SetLevel("loud"), StatusIs(absl::StatusCode::kInvalidArgument, "BAD_LOG_LEVEL"));
}

TEST(LogTest, LinesGoToStandardError) {
  ASSERT_OK(SetLevel("info"));
  ::testing::internal::CaptureStderr();
  Info("hello", {{"percent", "100%d {}"}});
  const std::string written = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(nlohmann::json::parse(written)["percent"], "100%d {}");
  EXPECT_EQ(written.back(), '\n');
}

}  // namespace
}  // namespace countersign::log
