#include "services/inventory/domain/filter.h"

#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/testing/status_matchers.h"
#include "gtest/gtest.h"

namespace countersign::inventory::domain {
namespace {

using Restrictions = std::vector<Restriction>;

Restrictions Parsed(absl::string_view text) {
  absl::StatusOr<Filter> filter = ParseFilter(text);
  EXPECT_THAT(filter, IsOk()) << text;
  return filter.ok() ? filter->restrictions : Restrictions();
}

TEST(FilterTest, AnEmptyFilterSelectsEverything) {
  EXPECT_EQ(Parsed(""), Restrictions());
  EXPECT_EQ(Parsed(" \t\n"), Restrictions());
}

TEST(FilterTest, EveryFieldIsRead) {
  EXPECT_EQ(
      Parsed(
          "gateway = \"home-1\" AND device=\"d\" AND ecu_serial = \"e\" AND manufacturer = \"acme\" AND "
          "model = \"T 1000\" AND hardware_id = \"hw\" AND version = \"2.0.1\" AND state = \"VERIFIED\" AND "
          "kind = \"HOME\""),
      (Restrictions{TextIs{TextField::kGateway, "home-1"}, TextIs{TextField::kDevice, "d"},
                    TextIs{TextField::kEcuSerial, "e"}, TextIs{TextField::kManufacturer, "acme"},
                    TextIs{TextField::kModel, "T 1000"}, TextIs{TextField::kHardwareId, "hw"},
                    TextIs{TextField::kVersion, "2.0.1"}, StateIs{State::kVerified},
                    KindIs{GatewayKind::kHome}}));
}

TEST(FilterTest, ValuesMayBeWordsOrQuotedEitherWay) {
  EXPECT_EQ(Parsed("version=2.0.1"), (Restrictions{TextIs{TextField::kVersion, "2.0.1"}}));
  EXPECT_EQ(Parsed("model='a \"b\"'"), (Restrictions{TextIs{TextField::kModel, "a \"b\""}}));
  EXPECT_EQ(Parsed(R"(model="a \"b\" \\ AND")"), (Restrictions{TextIs{TextField::kModel, R"(a "b" \ AND)"}}));
  EXPECT_EQ(Parsed("model=\"\""), (Restrictions{TextIs{TextField::kModel, ""}}));
  EXPECT_EQ(Parsed("model=\"Größe\""), (Restrictions{TextIs{TextField::kModel, "Größe"}}));
  EXPECT_EQ(Parsed("model = AND AND version = AND"),
            (Restrictions{TextIs{TextField::kModel, "AND"}, TextIs{TextField::kVersion, "AND"}}));
}

TEST(FilterTest, StatesAndKindsMayHaveTheirPrefix) {
  EXPECT_EQ(Parsed("state = STATE_COMPROMISED"), (Restrictions{StateIs{State::kCompromised}}));
  EXPECT_EQ(Parsed("kind = KIND_VEHICLE"), (Restrictions{KindIs{GatewayKind::kVehicle}}));
}

TEST(FilterTest, WhatCannotBeReadIsRefusedWithItsPlace) {
  for (absl::string_view text : {
           "model",
           "model =",
           "model = ",
           "= \"a\"",
           "model = \"a",
           "model = 'a\"",
           "model = \"a\\",
           "model \"a\"",
           "model : \"a\"",
           "model != \"a\"",
           "model == \"a\"",
           "model < \"a\"",
           "model = \"a\" AND",
           "model = \"a\" AND ",
           "AND model = \"a\"",
           "model = \"a\" version = \"b\"",
           "model = \"a\" OR version = \"b\"",
           "NOT model = \"a\"",
           "(model = \"a\")",
           "model = \"a\"AND version = \"b\"",
           "model = \"a\" ANDversion = \"b\"",
           "model = \"a\" AND AND version = \"b\"",
           "model = \"a\" and version = \"b\"",
           "colour = \"red\"",
           "state = \"verified\"",
           "state = \"\"",
           "state = UNSPECIFIED",
           "kind = BOAT",
           "model = \"a\";DROP TABLE x",
           "model = \"a\" --",
           "-",
           "\"\"",
           "*",
           "model = *",
       }) {
    EXPECT_THAT(ParseFilter(text), StatusIs(absl::StatusCode::kInvalidArgument, "FILTER_INVALID")) << text;
  }
  EXPECT_THAT(ParseFilter(absl::string_view("model = \"a\0b\"", 13)),
              StatusIs(absl::StatusCode::kInvalidArgument, "FILTER_INVALID"));
  EXPECT_THAT(ParseFilter(absl::string_view("\0", 1)),
              StatusIs(absl::StatusCode::kInvalidArgument, "FILTER_INVALID"));
  EXPECT_NE(ParseFilter("model = \"a\" OR version = \"b\"").status().message().find("character 15"),
            absl::string_view::npos)
      << ParseFilter("model = \"a\" OR version = \"b\"").status();
}

TEST(FilterTest, ItsSizeIsBounded) {
  const std::string value(kMaxFilterBytes - 10, 'x');
  EXPECT_THAT(ParseFilter(absl::StrCat("model = \"", value, "\"")), IsOk());
  EXPECT_THAT(ParseFilter(absl::StrCat("model = \"", value, "x\"")),
              StatusIs(absl::StatusCode::kInvalidArgument, "FILTER_INVALID"));
  std::string text = "model = a";
  for (size_t i = 1; i < kMaxRestrictions; ++i) text += " AND model = a";
  EXPECT_THAT(ParseFilter(text), IsOk());
  EXPECT_THAT(ParseFilter(text + " AND model = a"),
              StatusIs(absl::StatusCode::kInvalidArgument, "FILTER_INVALID"));
}

TEST(FilterTest, NonsenseIsReadOrRefusedAndNeverMore) {
  std::mt19937 random(20260101);
  const absl::string_view pieces[] = {"model",   "state",    " ", "=", "\"", "'",    "\\",  "AND",  "OR",
                                      "acme",    "VERIFIED", "(", ")", "\n", "\xff", ";",   "kind", "HOME",
                                      "gateway", "-",        ".", "/", "%s", "$1",   "\x7f"};
  for (int round = 0; round < 20000; ++round) {
    std::string text;
    const int length = static_cast<int>(random() % 16);
    for (int i = 0; i < length; ++i) text += std::string(pieces[random() % std::size(pieces)]);
    const absl::StatusOr<Filter> filter = ParseFilter(text);
    if (!filter.ok()) {
      EXPECT_THAT(filter, StatusIs(absl::StatusCode::kInvalidArgument, "FILTER_INVALID")) << text;
    }
  }
}

}  // namespace
}  // namespace countersign::inventory::domain
