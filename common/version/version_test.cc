#include "common/version/version.h"

#include <string>
#include <tuple>

#include "common/testing/status_matchers.h"
#include "gtest/gtest.h"

namespace countersign {
namespace {

Version Parsed(VersionFormat format, const std::string& text) {
  absl::StatusOr<Version> version = ParseVersion(format, text);
  EXPECT_OK(version) << text;
  return version.ok() ? *version : Version{};
}

struct Case {
  VersionFormat format;
  std::string lower;
  std::string higher;
};

class OrderTest : public ::testing::TestWithParam<Case> {};

TEST_P(OrderTest, LowerComesBeforeHigherBothWays) {
  const Version lower = Parsed(GetParam().format, GetParam().lower);
  const Version higher = Parsed(GetParam().format, GetParam().higher);
  EXPECT_LT(lower, higher);
  EXPECT_GT(higher, lower);
  EXPECT_EQ(lower, lower);
}

INSTANTIATE_TEST_SUITE_P(All, OrderTest,
                         ::testing::Values(Case{VersionFormat::kPlain, "9", "10"},
                                           Case{VersionFormat::kNumber, "99", "100"},
                                           Case{VersionFormat::kPair, "4.9", "4.17"},
                                           Case{VersionFormat::kTriplet, "1.2", "1.2.0"},
                                           Case{VersionFormat::kTriplet, "1.2.9", "1.10.0"},
                                           Case{VersionFormat::kSemver, "2.0.0~rc1", "2.0.0"},
                                           Case{VersionFormat::kSemver, "2.0.0", "2.0.0a"},
                                           Case{VersionFormat::kSemver, "2.0.0~rc1", "2.0.0~rc2"},
                                           Case{VersionFormat::kQuad, "1.2.3.4", "1.2.4.0"},
                                           Case{VersionFormat::kHex, "ff", "0x100"},
                                           Case{VersionFormat::kNumber, "0xff", "256"}));

TEST(VersionTest, OneVersionWrittenInHexInDecimalAndInSectionsIsTheSame) {
  EXPECT_EQ(Parsed(VersionFormat::kTriplet, "0x02000100"), Parsed(VersionFormat::kTriplet, "2.0.256"));
  EXPECT_EQ(Parsed(VersionFormat::kTriplet, "33554688"), Parsed(VersionFormat::kTriplet, "2.0.256"));
  EXPECT_EQ(Parsed(VersionFormat::kQuad, "0x01020304"), Parsed(VersionFormat::kQuad, "1.2.3.4"));
  EXPECT_EQ(Parsed(VersionFormat::kPair, "0x00040011"), Parsed(VersionFormat::kPair, "4.17"));
  EXPECT_EQ(Parsed(VersionFormat::kHex, "0xAB"), Parsed(VersionFormat::kHex, "ab"));
}

TEST(VersionTest, WhatIsNoVersionOfItsFormatIsRefused) {
  const std::tuple<VersionFormat, std::string> cases[] = {
      {VersionFormat::kPlain, ""},
      {VersionFormat::kPlain, "1.2"},
      {VersionFormat::kPair, "1.2.3"},
      {VersionFormat::kTriplet, "v1.2.3"},
      {VersionFormat::kNumber, "12b"},
      {VersionFormat::kHex, "xyz"},
      {VersionFormat::kHex, "0x"},
      {VersionFormat::kQuad, "0x100000000"},
      {VersionFormat::kSemver, "1.2.3 "},
      {VersionFormat::kPlain, "1234567890123456789"},
      {VersionFormat::kSemver, std::string(65, '1')},
  };
  for (const auto& [format, text] : cases) {
    EXPECT_THAT(ParseVersion(format, text), StatusIs(absl::StatusCode::kInvalidArgument, "VERSION_INVALID"))
        << text;
  }
}

TEST(VersionTest, ASuffixMayBeginWithADot) {
  const Version version = Parsed(VersionFormat::kSemver, "1.2.3.beta");
  EXPECT_EQ(version.sections, (std::vector<uint64_t>{1, 2, 3}));
  EXPECT_EQ(version.suffix, ".beta");
}

TEST(VersionTest, FormatNumbersAreThoseOfTheApi) {
  EXPECT_THAT(VersionFormatOf(7), IsOkAndHolds(VersionFormat::kHex));
  EXPECT_THAT(VersionFormatOf(0), StatusIs(absl::StatusCode::kInvalidArgument, "VERSION_FORMAT_UNKNOWN"));
}

TEST(VersionSortKeyTest, KeysAreInTheOrderOfVersions) {
  const std::string numbers[] = {"0",          "00",     "1",      "9",         "10",        "1.0",
                                 "1.00",       "1.2",    "1.10",   "1.2.0",     "1.2.3",     "1.2.10",
                                 "2.0.0~",     "2.0.0",  "2.0.0a", "2.0.0~rc1", "2.0.0~rc2", "2.0.0-rc1",
                                 "2.0.0.beta", "2.0.0.", "2.0.0!", "2.0.0~~",   "12345678",  "123456789012"};
  for (const std::string& a : numbers) {
    for (const std::string& b : numbers) {
      EXPECT_EQ(*VersionSortKey(a) <=> *VersionSortKey(b),
                Parsed(VersionFormat::kSemver, a) <=> Parsed(VersionFormat::kSemver, b))
          << a << " " << b;
    }
  }
}

TEST(VersionSortKeyTest, AHexadecimalNumberIsTheNumber) {
  EXPECT_EQ(VersionSortKey("0xff"), VersionSortKey("255"));
  EXPECT_EQ(VersionSortKey("0x0"), VersionSortKey("0"));
  EXPECT_EQ(VersionSortKey("0Xffffffffffffffff"), VersionSortKey("18446744073709551615"));
  EXPECT_LT(*VersionSortKey("0xff"), *VersionSortKey("0x100"));
  EXPECT_EQ(VersionSortKey("0xz"), std::string("B\x03xz\x02"));
}

TEST(VersionSortKeyTest, WhatIsNoVersionHasNoPlace) {
  for (const std::string& text : {std::string(), std::string("v1"), std::string("factory"), std::string("~1"),
                                  std::string("1\n"), std::string(51, '1')}) {
    EXPECT_EQ(VersionSortKey(text), std::nullopt) << text;
  }
  EXPECT_TRUE(VersionSortKey(std::string(60, '0') + std::string(50, '1')).has_value());
}

}  // namespace
}  // namespace countersign
