#include "services/inventory/domain/filter.h"

#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/testing/status_matchers.h"
#include "gtest/gtest.h"
#include "services/inventory/domain/component.h"
#include "services/inventory/domain/testing/filter_generator.h"
#include "services/inventory/domain/testing/filter_match.h"

namespace countersign::inventory::domain {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1767225600);  // 2026-01-01

absl::StatusOr<Filter> Parse(absl::string_view text, Resource resource = Resource::kComponent) {
  return ParseFilter(resource, text, kNow);
}

// What the filter is in one way of writing.
std::string Written(absl::string_view text, Resource resource = Resource::kComponent) {
  const absl::StatusOr<Filter> filter = Parse(text, resource);
  EXPECT_THAT(filter, IsOk()) << text;
  return filter.ok() ? FormatFilter(*filter) : "";
}

std::string WhatIsWrong(absl::string_view text) {
  const absl::StatusOr<Filter> filter = Parse(text);
  EXPECT_THAT(filter, StatusIs(absl::StatusCode::kInvalidArgument, "FILTER_INVALID")) << text;
  return filter.ok() ? "" : std::string(filter.status().message());
}

FilterRow Thermostat() {
  FilterRow row;
  row.texts = {{Field::kGateway, "home-1"},    {Field::kDevice, "hall"},  {Field::kEcuSerial, "SN-1"},
               {Field::kManufacturer, "acme"}, {Field::kModel, "T 1000"}, {Field::kVersion, "1.9.0"},
               {Field::kHardwareId, "hw-1"},   {Field::kStateReason, ""}};
  row.numbers = {
      {Field::kState, 2}, {Field::kKind, 1}, {Field::kRefusedReports, 3}, {Field::kConstrained, 0}};
  row.times = {{Field::kReportTime, kNow - absl::Hours(25)}};
  row.tags = {{"site", "berlin"}};
  return row;
}

TEST(FilterTest, AnEmptyFilterSelectsEverything) {
  EXPECT_EQ(Written(""), "");
  EXPECT_EQ(Written(" \t\n"), "");
  EXPECT_TRUE(Matches(*Parse(""), FilterRow()));
}

// HOME-9: who runs what.
TEST(FilterTest, EachTermMeansWhatItSays) {
  const std::vector<std::pair<std::string, bool>> cases = {
      {"gateway = \"home-1\"", true},
      {"gateway = gateways/home-1", true},
      {"device = gateways/home-1/devices/hall", true},
      {"device = gateways/home-2/devices/hall", false},
      {"serial = gateways/home-1/components/SN-1", true},
      {"gateway = home-*", true},
      {"gateway = 'home*'", true},
      {"gateway = home", false},
      {"manufacturer != acme", false},
      {"manufacturer != zenith", true},
      {"model = \"T 1000\"", true},
      {"model = \"t 1000\"", false},
      {"version < 1.10.0", true},
      {"version > 1.10.0", false},
      {"version = 01.9.0", true},
      {"version = 1.9*", true},
      {"version >= 1.9.0 AND version <= 1.9.0", true},
      {"state = VERIFIED", true},
      {"state = STATE_VERIFIED", true},
      {"state != VERIFIED", false},
      {"-state = RETIRED", true},
      {"reason:*", false},
      {"NOT reason:*", true},
      {"reason = ''", false},
      {"last_report < -24h", true},
      {"last_report < -26h", false},
      {"last_report < -1d1h", false},
      {"last_report >= 2025-12-30T23:00:00Z", true},
      {"last_report > \"2025-12-31T00:00:00+01:00\"", false},
      {"last_report < 2026-01-01", true},
      {"last_seen:*", false},
      {"refused_reports > 2", true},
      {"refused_reports = 2", false},
      {"constrained = false", true},
      {"kind = KIND_HOME", true},
      {"tags:site", true},
      {"tags:ring", false},
      {"tags.site = berlin", true},
      {"tags.site = b*", true},
      {"tags.site:*", true},
      {"tags.ring != canary", true},
      {"SN-1", true},
      {"SN*", true},
      {"\"T 1000\" hall", true},
      {"hall kitchen", false},
      {"hall OR kitchen", true},
  };
  for (const auto& [text, expected] : cases) {
    const absl::StatusOr<Filter> filter = Parse(text);
    if (text == "last_report < -1d1h") {  // d and w stand alone
      EXPECT_THAT(filter, StatusIs(absl::StatusCode::kInvalidArgument, "FILTER_INVALID"));
      continue;
    }
    ASSERT_THAT(filter, IsOk()) << text;
    EXPECT_EQ(Matches(*filter, Thermostat()), expected) << text;
  }
}

TEST(FilterTest, OrBindsCloserThanAndAndParenthesesSaySo) {
  EXPECT_EQ(Written("state=VERIFIED AND kind=HOME OR kind = VEHICLE"),
            "state = VERIFIED AND (kind = HOME OR kind = VEHICLE)");
  EXPECT_EQ(Written("(state=VERIFIED AND kind=HOME) OR kind = VEHICLE"),
            "(state = VERIFIED AND kind = HOME) OR kind = VEHICLE");
  EXPECT_EQ(Written("hall kitchen OR cellar"), "\"hall\" AND (\"kitchen\" OR \"cellar\")");
  EXPECT_EQ(Written("NOT (kind = HOME) -(-hall)"), "NOT kind = HOME AND \"hall\"");
  EXPECT_EQ(Written("((kind = HOME AND (hall)))AND(cellar)"), "kind = HOME AND \"hall\" AND \"cellar\"");
}

TEST(FilterTest, ValuesMayBeWordsOrQuotedEitherWay) {
  EXPECT_EQ(Written("version=2.0.1"), "version = \"2.0.1\"");
  EXPECT_EQ(Written("model='a \"b\"'"), R"(model = "a \"b\"")");
  EXPECT_EQ(Written(R"(model="a \"b\" \\ AND \*")"), R"(model = "a \"b\" \\ AND \*")");
  EXPECT_EQ(Written("model=\"Größe*\""), "model = \"Größe*\"");
  EXPECT_EQ(Written("model = 'AND' AND version != v1"), "model = \"AND\" AND NOT version = \"v1\"");
  EXPECT_EQ(Written("last_report < -24h"), "report_time < \"2025-12-31T00:00:00Z\"");
  EXPECT_EQ(Written("device=gateways/g/devices/d"), "gateway = \"g\" AND device = \"d\"");
}

TEST(FilterTest, EachResourceHasItsFields) {
  EXPECT_EQ(Written("last_seen < 2026-01-01T00:00:00.5Z", Resource::kGateway),
            "last_manifest_time < \"2026-01-01T00:00:00.5Z\"");
  EXPECT_EQ(Written("app_id_status = NOT_IN_FORCE", Resource::kDevice), "app_id_status = NOT_IN_FORCE");
  EXPECT_THAT(Parse("state = VERIFIED", Resource::kGateway),
              StatusIs(absl::StatusCode::kInvalidArgument, "FILTER_INVALID"));
  EXPECT_THAT(Parse("version > 1", Resource::kDevice),
              StatusIs(absl::StatusCode::kInvalidArgument, "FILTER_INVALID"));
  for (const State state : kAllStates) {
    EXPECT_EQ(Written(absl::StrCat("state = ", StateName(state))),
              absl::StrCat("state = ", StateName(state)));
  }
  for (const GatewayKind kind : {GatewayKind::kHome, GatewayKind::kVehicle}) {
    EXPECT_EQ(Written(absl::StrCat("kind = ", GatewayKindName(kind))),
              absl::StrCat("kind = ", GatewayKindName(kind)));
  }
}

TEST(FilterTest, WhatIsWrongIsToldWithItsPlaceAndWhatWouldBeRight) {
  const std::tuple<std::string, int, std::string> cases[] = {
      {"model =", 8, "expected a value"},
      {"= \"a\"", 1, "expected a field"},
      {"model = \"a", 9, "no end"},
      {"model = 'a\"", 9, "no end"},
      {"model = \"a\\", 9, "no end"},
      {"model == \"a\"", 8, "expected a value"},
      {"model < \"a\"", 7, "expected =, != or :"},
      {"model = \"a\" AND", 16, "something after AND"},
      {"model = \"a\" OR ", 16, "something after OR"},
      {"AND model = \"a\"", 1, "before AND"},
      {"model = \"a\" AND AND model = b", 17, "before AND"},
      {"OR a", 1, "before OR"},
      {"a AND OR b", 7, "before OR"},
      {"model = a and version = 1", 11, "capitals"},
      {"model = \"a\"AND version = b", 12, "expected a space"},
      {"model = AND", 9, "in quotes"},
      {"(model = a", 11, "expected )"},
      {"model = a)", 10, "closes nothing"},
      {"()", 2, "nothing between"},
      {"NOT", 4, "after NOT"},
      {"colour = red", 1, "the fields are gateway"},
      {"a AND colour = red", 7, "no field \"colour\""},
      {"state = verified", 9, "UNVERIFIED, VERIFIED"},
      {"state = VER*", 9, "whole value"},
      {"kind = BOAT", 8, "HOME, VEHICLE"},
      {"failures = many", 12, "digits"},
      {"constrained = yes", 15, "true or false"},
      {"last_report < yesterday", 15, "duration from now"},
      {"last_report < -200000w", 15, "between the years"},
      {"version < newest", 11, "begins with a digit"},
      {"version < 1.*", 11, "without *"},
      {"model = a*b", 10, "at the end only"},
      {"model = *b", 9, "at the end only"},
      {"tags = site", 1, "tags:NAME"},
      {"tags.site < 1", 11, "no order"},
      {"*", 1, "missing"},
      {"\"\"", 1, "missing"},
      {"\"model\" = a", 1, "without quotes"},
      {"size(model) = 1", 1, "no functions"},
      {"model ! a", 7, "!="},
      {"model = \"a\";DROP TABLE x", 12, "expected a space"},
      {"model = a --", 12, "expected a field"},
      {"model = a, b", 10, "expected a space"},
      {std::string("model = \"a\0b\"", 13), 11, "control characters"},
      {std::string("\0", 1), 1, "expected a field"},
  };
  for (const auto& [text, position, words] : cases) {
    const std::string message = WhatIsWrong(text);
    EXPECT_TRUE(absl::StrContains(message, absl::StrCat("at character ", position, ": ")))
        << text << ": " << message;
    EXPECT_TRUE(absl::StrContains(message, words)) << text << ": " << message;
  }
}

TEST(FilterTest, LengthDepthAndTermsAreBounded) {
  const std::string value(kMaxFilterBytes - 10, 'x');
  EXPECT_THAT(Parse(absl::StrCat("model = \"", value, "\"")), IsOk());
  WhatIsWrong(absl::StrCat("model = \"", value, "x\""));
  std::string terms = "a";
  for (int i = 1; i < kMaxFilterTerms; ++i) terms += " OR a";
  EXPECT_THAT(Parse(terms), IsOk());
  WhatIsWrong(terms + " AND a");
  EXPECT_THAT(Parse(absl::StrCat(std::string(kMaxFilterDepth, '('), "a", std::string(kMaxFilterDepth, ')'))),
              IsOk());
  WhatIsWrong(
      absl::StrCat(std::string(kMaxFilterDepth + 1, '('), "a", std::string(kMaxFilterDepth + 1, ')')));
  WhatIsWrong(std::string(kMaxFilterBytes, '('));
  WhatIsWrong(std::string(kMaxFilterBytes, '-'));
}

TEST(FilterTest, WhatIsWrittenInOneWayIsReadAsTheSame) {
  for (const Resource resource : {Resource::kGateway, Resource::kDevice, Resource::kComponent}) {
    FilterGenerator generator(20261121, resource, kNow);
    for (int round = 0; round < 3000; ++round) {
      const std::string text = generator.Next();
      const absl::StatusOr<Filter> filter = Parse(text, resource);
      if (!filter.ok()) {  // only for being too much
        EXPECT_TRUE(absl::StrContains(filter.status().message(), "it is longer than") ||
                    absl::StrContains(filter.status().message(), "it has more than"))
            << text << ": " << filter.status();
        continue;
      }
      const std::string written = FormatFilter(*filter);
      if (written.size() > kMaxFilterBytes) continue;
      const absl::StatusOr<Filter> again = ParseFilter(resource, written, kNow + absl::Hours(1));
      ASSERT_THAT(again, IsOk()) << text << "\n" << written;
      EXPECT_EQ(again->expression, filter->expression) << text << "\n" << written;
    }
  }
}

// Good filters with bytes changed, taken out, doubled and mixed: read or refused, and nothing else.
TEST(FilterTest, MutatedFiltersAreReadOrRefusedAndNothingElse) {
  std::mt19937 random(20260101);
  FilterGenerator generator(7, Resource::kComponent, kNow);
  std::string other = generator.Next();
  int read = 0, refused = 0;
  for (int round = 0; round < 30000; ++round) {
    std::string text = generator.Next();
    for (int changes = 1 + static_cast<int>(random() % 4); changes > 0 && !text.empty(); --changes) {
      const size_t at = random() % text.size();
      switch (random() % 5) {
        case 0:
          text[at] = static_cast<char>(random());
          break;
        case 1:
          text.erase(at, 1 + random() % 4);
          break;
        case 2:
          text.insert(at, 1, "()\"'*\\:=<>!-. "[random() % 14]);
          break;
        case 3:
          text.insert(at, text.substr(at, random() % 8));
          break;
        default:
          text.insert(at, other.substr(random() % other.size(), random() % 8));
      }
    }
    const absl::StatusOr<Filter> filter = Parse(text);
    if (filter.ok()) {
      ++read;
      Matches(*filter, Thermostat());
      const std::string written = FormatFilter(*filter);
      if (written.size() <= kMaxFilterBytes) {
        const absl::StatusOr<Filter> again = Parse(written);
        ASSERT_THAT(again, IsOk()) << text << "\n" << written;
        EXPECT_EQ(again->expression, filter->expression) << text << "\n" << written;
      }
    } else {
      ++refused;
      EXPECT_THAT(filter, StatusIs(absl::StatusCode::kInvalidArgument, "FILTER_INVALID")) << text;
    }
    other = std::move(text);
    if (other.empty()) other = "x";
  }
  EXPECT_GT(read, 1000);
  EXPECT_GT(refused, 1000);
}

}  // namespace
}  // namespace countersign::inventory::domain
