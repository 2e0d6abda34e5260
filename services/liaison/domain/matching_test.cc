#include "services/liaison/domain/matching.h"

#include <gtest/gtest.h>

#include "common/testing/status_matchers.h"

namespace countersign::liaison::domain {
namespace {

using ::countersign::IsOk;
using ::countersign::StatusIs;

Offer Lamp(std::string id, std::string version, int64_t counter) {
  return {.release_id = std::move(id),
          .component = "acme/lamp",
          .version = std::move(version),
          .version_format = VersionFormat::kTriplet,
          .release_counter = counter,
          .models = {"L-1", "L-2"},
          .hardware_ids = {"hw-a", "hw-b"}};
}

Installed Runs(std::string version, int64_t counter) {
  return {.model = "L-1", .hardware_id = "hw-a", .version = std::move(version), .release_counter = counter};
}

std::string UpdateOf(const std::vector<Offer>& offers, const Installed& installed) {
  std::vector<const Offer*> pointers;
  for (const Offer& offer : offers) pointers.push_back(&offer);
  const std::optional<size_t> found = FindUpdate(pointers, installed);
  return found.has_value() ? offers[*found].release_id : "none";
}

// HOME-5
TEST(MatchingTest, TheNewestReleaseThatFitsIsTheUpdate) {
  const std::vector<Offer> offers = {Lamp("r1", "1.1.0", 11), Lamp("r3", "1.3.0", 13),
                                     Lamp("r2", "1.2.0", 12)};
  EXPECT_EQ(UpdateOf(offers, Runs("1.0.0", 10)), "r3");
  EXPECT_EQ(UpdateOf(offers, Runs("1.3.0", 13)), "none");
}

TEST(MatchingTest, OtherModelsAndOtherHardwareGetNothing) {
  Installed other_model = Runs("1.0.0", 0);
  other_model.model = "L-9";
  EXPECT_FALSE(Fits(Lamp("r", "2.0.0", 20), other_model));
  Installed other_hardware = Runs("1.0.0", 0);
  other_hardware.hardware_id = "hw-z";
  EXPECT_FALSE(Fits(Lamp("r", "2.0.0", 20), other_hardware));
}

TEST(MatchingTest, ADirectedDowngradeIsAnUpdateBecauseItsCounterIsHigher) {
  EXPECT_TRUE(Fits(Lamp("back", "1.0.0", 30), Runs("2.0.0", 20)));
}

TEST(MatchingTest, AReleaseThatNeedsMoreThanIsInstalledWaitsForTheOneInBetween) {
  Offer bridge = Lamp("bridge", "1.5.0", 15);
  Offer next = Lamp("next", "2.0.0", 20);
  next.minimum_installed_version = "1.5.0";
  const std::vector<Offer> offers = {next, bridge};
  EXPECT_EQ(UpdateOf(offers, Runs("1.0.0", 10)), "bridge");
  EXPECT_EQ(UpdateOf(offers, Runs("1.5.0", 15)), "next");
  EXPECT_EQ(UpdateOf({next}, Runs("", 0)), "none") << "what is not known does not meet a minimum";
}

TEST(MatchingTest, ACounterMustRiseWithinAComponentAndItsHardware) {
  const std::vector<Offer> known = {Lamp("r1", "1.1.0", 11)};
  EXPECT_THAT(CheckCounterRises(known, Lamp("r2", "1.2.0", 12)), IsOk());
  EXPECT_THAT(CheckCounterRises(known, Lamp("r2", "1.2.0", 11)),
              StatusIs(absl::StatusCode::kFailedPrecondition, "RELEASE_COUNTER_FELL"));
  EXPECT_THAT(CheckCounterRises(known, Lamp("r1", "1.1.0", 11)), IsOk())
      << "a release is not its own predecessor";
  Offer other = Lamp("r2", "1.0.0", 5);
  other.hardware_ids = {"hw-z"};
  EXPECT_THAT(CheckCounterRises(known, other), IsOk());
  other = Lamp("r2", "1.0.0", 5);
  other.component = "acme/plug";
  EXPECT_THAT(CheckCounterRises(known, other), IsOk());
}

}  // namespace
}  // namespace countersign::liaison::domain
