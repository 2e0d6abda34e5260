#include "common/trust/preconditions.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "common/testing/status_matchers.h"
#include "gtest/gtest.h"

namespace countersign::trust {
namespace {

const auto kNotMet = StatusIs(absl::StatusCode::kFailedPrecondition, kPreconditionNotMet);

Preconditions Required(absl::string_view preconditions) {
  return ReadPreconditions(absl::StrCat("{\"other\":1,\"preconditions\":", preconditions, "}"));
}

TEST(PreconditionsTest, ATargetThatAsksForNothingIsMetByNothing) {
  for (const char* custom : {"{}", "{\"preconditions\":{}}", "{\"other\":{\"parked\":true}}"}) {
    EXPECT_FALSE(ReadPreconditions(custom).any()) << custom;
    EXPECT_OK(CheckPreconditions(ReadPreconditions(custom), {}));
  }
}

TEST(PreconditionsTest, WhatIsAskedForMustBeKnownToHold) {
  const Preconditions parked = Required(R"({"parked":true})");
  EXPECT_OK(CheckPreconditions(parked, {.parked = true}));
  EXPECT_THAT(CheckPreconditions(parked, {.parked = false}), kNotMet);
  EXPECT_THAT(CheckPreconditions(parked, {.external_power = true, .battery_percent = 100}), kNotMet);
  EXPECT_OK(CheckPreconditions(Required(R"({"parked":false})"), {}));

  const Preconditions power = Required(R"({"externalPower":true})");
  EXPECT_OK(CheckPreconditions(power, {.external_power = true}));
  EXPECT_THAT(CheckPreconditions(power, {.external_power = false}), kNotMet);
  EXPECT_THAT(CheckPreconditions(power, {.parked = true, .battery_percent = 100}), kNotMet);
}

TEST(PreconditionsTest, TheBatteryMustLastForTheUpdateAndForTheWayBack) {
  const Preconditions both = Required(R"({"minBatteryPercent":30,"recoveryBatteryPercent":20})");
  EXPECT_OK(CheckPreconditions(both, {.battery_percent = 50}));
  EXPECT_THAT(CheckPreconditions(both, {.battery_percent = 49}), kNotMet);
  EXPECT_THAT(CheckPreconditions(both, {.parked = true, .external_power = true}), kNotMet);
  EXPECT_OK(CheckPreconditions(Required(R"({"recoveryBatteryPercent":20})"), {.battery_percent = 20}));
  EXPECT_THAT(CheckPreconditions(Required(R"({"recoveryBatteryPercent":20})"), {}), kNotMet);
}

TEST(PreconditionsTest, WhatCannotBeReadIsNeverMet) {
  const Readings best = {.parked = true, .external_power = true, .battery_percent = 100};
  for (const char* preconditions :
       {"true", "[]", "null", R"({"parked":"yes"})", R"({"parked":1})", R"({"doorsClosed":true})",
        R"({"minBatteryPercent":101})", R"({"minBatteryPercent":-1})", R"({"minBatteryPercent":"30"})",
        R"({"recoveryBatteryPercent":true})", R"({"minBatteryPercent":18446744073709551615})"}) {
    EXPECT_THAT(CheckPreconditions(Required(preconditions), best), kNotMet) << preconditions;
  }
}

TEST(PreconditionsTest, AReadingThatIsNoneIsNotKnown) {
  const Readings all = ReadReadings(R"({"parked":true,"externalPower":false,"batteryPercent":87,"x":1})");
  EXPECT_EQ(all.parked, true);
  EXPECT_EQ(all.external_power, false);
  EXPECT_EQ(all.battery_percent, 87);
  for (const char* nothing :
       {"", "nonsense", "[]", "{}", R"({"parked":"true","externalPower":1,"batteryPercent":101})",
        R"({"parked":null,"batteryPercent":"87"})", R"({"batteryPercent":1e9})"}) {
    const Readings readings = ReadReadings(nothing);
    EXPECT_FALSE(readings.parked.has_value()) << nothing;
    EXPECT_FALSE(readings.external_power.has_value()) << nothing;
    EXPECT_FALSE(readings.battery_percent.has_value()) << nothing;
  }
}

}  // namespace
}  // namespace countersign::trust
