#include "services/inventory/domain/names.h"

#include <string>

#include "common/testing/status_matchers.h"
#include "gtest/gtest.h"

namespace countersign::inventory::domain {
namespace {

using ::testing::Not;

TEST(NamesTest, WhatIsFormattedIsParsed) {
  EXPECT_THAT(ParseGatewayName(GatewayName("home-1.example")), IsOkAndHolds(std::string("home-1.example")));
  ASSERT_OK_AND_ASSIGN(const DeviceName device, ParseDeviceName(FormatDeviceName("home-1", "Thermostat_7")));
  EXPECT_EQ(device.gateway_id, "home-1");
  EXPECT_EQ(device.device_id, "Thermostat_7");
  EXPECT_EQ(ComponentName("home-1", "SN.1"), "gateways/home-1/components/SN.1");
}

TEST(NamesTest, OtherFormsAreRefused) {
  for (const char* name :
       {"", "gateways", "gateways/", "gateways/a/", "gateways/A", "gateways/-a", "gateways/a-",
        "gateways/a..b", "gateways/a_b", "gateway/a", "/gateways/a", "gateways/ä"}) {
    EXPECT_THAT(ParseGatewayName(name), StatusIs(absl::StatusCode::kInvalidArgument, "NAME_INVALID")) << name;
  }
  EXPECT_THAT(ParseGatewayName("gateways/" + std::string(63, 'a')), IsOk());
  EXPECT_THAT(ParseGatewayName("gateways/" + std::string(64, 'a')), Not(IsOk()));
  for (const char* name :
       {"gateways/a/devices/", "gateways/a/devices/b/c", "gateways/a/device/b", "gateways/a/devices/b c"}) {
    EXPECT_THAT(ParseDeviceName(name), StatusIs(absl::StatusCode::kInvalidArgument, "NAME_INVALID")) << name;
  }
}

TEST(NamesTest, AParentIsAGatewayOrAll) {
  EXPECT_THAT(ParseDeviceParent("gateways/-"), IsOkAndHolds(std::string()));
  EXPECT_THAT(ParseDeviceParent("gateways/home-1"), IsOkAndHolds(std::string("home-1")));
  EXPECT_THAT(ParseDeviceParent("-"), StatusIs(absl::StatusCode::kInvalidArgument, "NAME_INVALID"));
}

TEST(NamesTest, SerialsHaveOneTo64PlainCharacters) {
  EXPECT_TRUE(IsSerial("A-z.0_9"));
  EXPECT_TRUE(IsSerial(std::string(64, '7')));
  EXPECT_FALSE(IsSerial(std::string(65, '7')));
  EXPECT_FALSE(IsSerial(""));
  EXPECT_FALSE(IsSerial("a/b"));
  EXPECT_FALSE(IsSerial(absl::string_view("a\0b", 3)));
}

}  // namespace
}  // namespace countersign::inventory::domain
