#include "common/trust/canonical_json.h"

#include <string>

#include "common/testing/status_matchers.h"
#include "common/trust/reasons.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace countersign::trust {
namespace {

const auto kMalformedJson = StatusIs(absl::StatusCode::kInvalidArgument, kMalformed);

TEST(CanonicalJsonTest, KeysAreSortedAndOnlyQuotesAndBackslashesAreEscaped) {
  ASSERT_OK_AND_ASSIGN(
      const nlohmann::json value,
      ParseStrictJson(R"( {"b": [1, -2, true, false, null], "a": {"z": {}, "y": []}, "A": "q\"\\\n/"} )"));
  EXPECT_EQ(CanonicalJson(value),
            "{\"A\":\"q\\\"\\\\\n/\",\"a\":{\"y\":[],\"z\":{}},\"b\":[1,-2,true,false,null]}");
  EXPECT_EQ(CompactJson(value), R"({"A":"q\"\\\n/","a":{"y":[],"z":{}},"b":[1,-2,true,false,null]})");
}

TEST(CanonicalJsonTest, ReadingWhatWasWrittenGivesTheSameBytes) {
  const std::string text = R"({"a":[{"b":"c d"},9223372036854775807,-9223372036854775808],"e":""})";
  ASSERT_OK_AND_ASSIGN(const nlohmann::json value, ParseStrictJson(text));
  EXPECT_EQ(CanonicalJson(value), text);
  EXPECT_EQ(CompactJson(value), text);
}

TEST(CanonicalJsonTest, WhatMetadataMayNotContainIsRefused) {
  for (const std::string text : {"",
                                 "{",
                                 "}",
                                 "[1,]",
                                 "{\"a\":1}x",
                                 "{'a':1}",
                                 "nul",
                                 "1.5",
                                 "1e3",
                                 "9223372036854775808",
                                 "{\"a\":1,\"a\":1}",
                                 "{\"a\":{\"b\":1,\"b\":2}}",
                                 "\"\xc3\xa4\"",
                                 "\"\\u00e4\"",
                                 "\"\\u0000\"",
                                 "\"\\t\"",
                                 "{\"\\u00e4\":1}",
                                 "\"\xff\"",
                                 "NaN",
                                 "[1] [2]",
                                 "/* */1"}) {
    EXPECT_THAT(ParseStrictJson(text), kMalformedJson) << text;
  }
}

TEST(CanonicalJsonTest, LimitsHold) {
  EXPECT_THAT(ParseStrictJson(std::string(100'000, '[')),
              StatusIs(absl::StatusCode::kResourceExhausted, kLimitExceeded));
  EXPECT_THAT(ParseStrictJson("[[[1]]]", {.max_depth = 3}), IsOk());
  EXPECT_THAT(ParseStrictJson("[[[1]]]", {.max_depth = 2}),
              StatusIs(absl::StatusCode::kResourceExhausted, kLimitExceeded));
  EXPECT_THAT(ParseStrictJson("[1,2,3]", {.max_values = 4}), IsOk());
  EXPECT_THAT(ParseStrictJson("[1,2,3]", {.max_values = 3}),
              StatusIs(absl::StatusCode::kResourceExhausted, kLimitExceeded));
  EXPECT_THAT(ParseStrictJson("[1,2,3]", {.max_bytes = 6}),
              StatusIs(absl::StatusCode::kResourceExhausted, kLengthExceeded));
}

TEST(CanonicalJsonTest, EveryTruncationAndEveryFlippedByteIsReadOrRefusedButNeverFatal) {
  const std::string text =
      R"({"signatures":[{"keyid":"00","sig":"11"}],"signed":{"_type":"root","version":1,"x":[true,null]}})";
  for (size_t i = 0; i < text.size(); ++i) {
    EXPECT_FALSE(ParseStrictJson(absl::string_view(text).substr(0, i)).ok());
    for (int bit = 0; bit < 8; ++bit) {
      std::string flipped = text;
      flipped[i] = static_cast<char>(flipped[i] ^ (1 << bit));
      ParseStrictJson(flipped).IgnoreError();
    }
  }
}

TEST(CanonicalJsonTest, CheckStrictRefusesWhatNoReaderWouldAccept) {
  EXPECT_OK(CheckStrict({{"a", {1, "b", true}}}));
  EXPECT_THAT(CheckStrict({{"a", 1.5}}), kMalformedJson);
  EXPECT_THAT(CheckStrict({{"a", nullptr}}), kMalformedJson);
  EXPECT_THAT(CheckStrict({{"a", "\xc3\xa4"}}), kMalformedJson);
}

}  // namespace
}  // namespace countersign::trust
