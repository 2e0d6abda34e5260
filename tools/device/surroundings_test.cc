// What a device knows of its surroundings: power, movement, and the time.
#include <string>

#include "absl/strings/match.h"
#include "common/rpc/status_grpc.h"
#include "common/testing/status_matchers.h"
#include "gmock/gmock.h"
#include "tools/device/test_device.h"

namespace countersign::device {
namespace {

using ::testing::HasSubstr;
using trust::Readings;

constexpr char kAll[] =
    R"({"preconditions":{"parked":true,"externalPower":true,"minBatteryPercent":30,"recoveryBatteryPercent":20}})";

class PreconditionsTest : public DeviceTest {
 protected:
  PreconditionsTest() {
    offer_.approved().custom.extra = kAll;
    offer_.Publish();
  }

  const Readings good_ = {.parked = true, .external_power = true, .battery_percent = 50};
  // One thing short of it, or not known.
  const std::vector<Readings> bad_ = {
      {},
      {.external_power = true, .battery_percent = 50},
      {.parked = false, .external_power = true, .battery_percent = 50},
      {.parked = true, .battery_percent = 50},
      {.parked = true, .external_power = false, .battery_percent = 50},
      {.parked = true, .external_power = true},
      {.parked = true, .external_power = true, .battery_percent = 49},
  };
};

TEST_F(PreconditionsTest, NothingIsWrittenBeforeTheyAreKnownToHold) {
  for (const Readings& readings : bad_) {
    readings_ = readings;
    ExpectRefused(common::v1::FAILURE_REASON_PRECONDITION_NOT_MET);
  }
  readings_ = good_;
  ExpectWorks();
}

TEST_F(PreconditionsTest, NothingIsActivatedOnceTheyDoNotHoldAnyMore) {
  readings_ = good_;
  ExpectInstalls();
  for (const Readings& readings : bad_) {
    readings_ = readings;
    EXPECT_THAT(Activate(), StatusIs(absl::StatusCode::kFailedPrecondition, trust::kPreconditionNotMet));
  }
  EXPECT_EQ(reboots_, 0);
  readings_ = good_;
  ASSERT_OK(Activate());
}

// The power goes between the activation and the boot.
TEST_F(PreconditionsTest, NothingIsBootedOnceTheyDoNotHoldAnyMore) {
  for (const Readings& readings : bad_) {
    readings_ = good_;
    ExpectInstalls();
    ASSERT_OK(Activate());
    readings_ = readings;
    const size_t checked = checked_.size();
    Boot();
    EXPECT_EQ(component().running().version, "1.0.0");
    EXPECT_EQ(checked_.size(), checked) << "nobody looks how an image does that was not begun";
    ExpectEnd(common::v1::UPDATE_PHASE_FAILED, common::v1::FAILURE_REASON_PRECONDITION_NOT_MET,
              offer_.approved().sha256);
    Boot();
    EXPECT_EQ(component().running().version, "1.0.0");
  }
  // It was not tried, so it can be once they do.
  readings_ = good_;
  ASSERT_OK(Activate());
  Boot();
  EXPECT_EQ(component().running().version, "2.0.0");
}

TEST_F(PreconditionsTest, AWayBackAsksForNothing) {
  readings_ = good_;
  ExpectInstalls();
  ASSERT_OK(Activate(offer_.approved().sha256, kEcu, "bundle-1"));
  Boot();
  readings_ = {};
  Boot();
  EXPECT_TRUE(Describe().provisional());
  ASSERT_OK(Revert(offer_.approved().sha256));
  Boot();
  EXPECT_EQ(component().running().version, "1.0.0");
}

TEST_F(PreconditionsTest, WhatThisVersionDoesNotKnowIsNeverMet) {
  offer_.approved().custom.extra = R"({"preconditions":{"doorsClosed":true}})";
  offer_.Publish();
  readings_ = good_;
  ExpectRefused(common::v1::FAILURE_REASON_PRECONDITION_NOT_MET);
}

TEST_F(PreconditionsTest, TheGatewayIsToldWhatIsKnownAndNothingElse) {
  const auto get = [this] {
    grpc::ClientContext context;
    v1::GetReadingsResponse response;
    EXPECT_OK(rpc::FromGrpc(stub_->GetReadings(&context, {}, &response)));
    return response;
  };
  readings_ = {.parked = false, .battery_percent = 0};
  v1::GetReadingsResponse readings = get();
  EXPECT_TRUE(readings.has_parked());
  EXPECT_FALSE(readings.parked());
  EXPECT_TRUE(readings.has_battery_percent());
  EXPECT_FALSE(readings.has_external_power());
  readings_ = {};
  readings = get();
  EXPECT_FALSE(readings.has_parked() || readings.has_battery_percent() || readings.has_external_power());
}

class ConstrainedPreconditionsTest : public DeviceTest {
 protected:
  ConstrainedPreconditionsTest() : DeviceTest({.constrained = true}) {}
};

// FOTA-K
TEST_F(ConstrainedPreconditionsTest, AConstrainedDeviceWaitsForThemToo) {
  offer_.approved().custom.extra = R"({"preconditions":{"parked":true}})";
  offer_.Publish();
  ExpectRefused(common::v1::FAILURE_REASON_PRECONDITION_NOT_MET);
  readings_ = {.parked = true};
  ExpectWorks();
}

class TimeTest : public DeviceTest {
 protected:
  explicit TimeTest(Provisioning provisioning = {}) : DeviceTest(std::move(provisioning)) {}
};

// Attack: freeze, with the help of a clock that was set back.
TEST_F(TimeTest, AClockThatIsSetBackDoesNotLetExpiredMetadataIn) {
  const absl::Time start = clock_.Now();
  const v1::InstallHeader old_offer = offer_.Header();
  const std::string old_image = offer_.image;
  // The device sees metadata of two days later: the time was that.
  clock_.Advance(absl::Hours(48));
  for (trust::TestRepository* repository : {&offer_.images, &offer_.director}) {
    repository->timestamp.expires = clock_.Now() + absl::Hours(24);
  }
  offer_.Publish();
  ExpectOnlyBytesRefused();
  EXPECT_FALSE(DescribeAll().clock_behind());
  // In two days it is expired; the clock says that it is not.
  for (const absl::Time set : {start, absl::UnixEpoch()}) {
    clock_.Set(set);
    Boot();
    EXPECT_TRUE(DescribeAll().clock_behind());
    ExpectWorks();  // what had not expired at the latest known time is still good
    offer_.images.timestamp.expires = offer_.director.timestamp.expires = start + absl::Hours(47);
    offer_.Release("another image", 3, "3.0.0");
    const v1::InstallImageResponse response = Send();
    EXPECT_FALSE(response.installed());
    EXPECT_EQ(response.failure_reason(), common::v1::FAILURE_REASON_SIGNATURE_INVALID);
    EXPECT_THAT(response.failure_detail(), HasSubstr("the clock is wrong"));
    offer_.images.timestamp.expires = offer_.director.timestamp.expires = start + absl::Hours(72);
    offer_.Publish();
  }
}

// A clock that runs ahead refuses what is good, and must not do so for ever.
TEST_F(TimeTest, AClockThatRanAheadDoesNotShutTheDeviceForever) {
  const absl::Time start = clock_.Now();
  clock_.Advance(absl::Hours(24 * 365 * 20));
  ExpectRefused(common::v1::FAILURE_REASON_SIGNATURE_INVALID);
  Boot();
  clock_.Set(start);
  EXPECT_FALSE(DescribeAll().clock_behind());
  ExpectWorks();
}

class MadeLaterTest : public TimeTest {
 protected:
  MadeLaterTest() : TimeTest({.now = FakeClock().Now() + absl::Hours(48)}) {}
};

// A clock that shows a time before the device was made is wrong.
TEST_F(MadeLaterTest, ItIsNeverEarlierThanWhenTheDeviceWasMade) {
  EXPECT_TRUE(DescribeAll().clock_behind());
  ExpectRefused(common::v1::FAILURE_REASON_SIGNATURE_INVALID);  // a day's timestamp, two days old
  clock_.Advance(absl::Hours(48));
  EXPECT_FALSE(DescribeAll().clock_behind());
}

}  // namespace
}  // namespace countersign::device
