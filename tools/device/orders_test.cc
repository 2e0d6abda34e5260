// FOTA-R3: the operation of a component can be stopped, by who may sign for the Director and nobody else.
#include <filesystem>
#include <map>
#include <string>

#include "common/testing/status_matchers.h"
#include "common/trust/envelope.h"
#include "common/trust/metadata.h"
#include "common/trust/reasons.h"
#include "gmock/gmock.h"
#include "tools/device/test_device.h"

namespace countersign::device {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class OrdersTest : public DeviceTest {
 protected:
  using DeviceTest::DeviceTest;

  void Publish(std::set<std::string> quarantine) {
    offer_.director.targets.quarantine = std::move(quarantine);
    offer_.Publish();
  }
  void ExpectStopped() {
    EXPECT_FALSE(operates_.at(kEcu));
    EXPECT_TRUE(std::filesystem::exists(ComponentFolder() + "/stopped"));
    EXPECT_TRUE(Describe().quarantined());
    EXPECT_TRUE(Report().quarantined);
    EXPECT_TRUE(operates_.at(kOtherEcu));
  }
  void ExpectOperates() {
    EXPECT_TRUE(operates_.at(kEcu));
    EXPECT_FALSE(std::filesystem::exists(ComponentFolder() + "/stopped"));
    EXPECT_FALSE(Describe().quarantined());
    EXPECT_FALSE(Report().quarantined);
  }
};

// FOTA-R3
TEST_F(OrdersTest, AComponentStopsByOrderOfTheDirectorAndStaysStoppedUntilItMayGoOn) {
  ExpectOperates();
  Publish({kEcu, "ecu-of-another-device"});
  EXPECT_THAT(ApplyOrders(), IsOkAndHolds(ElementsAre(kEcu)));
  ExpectStopped();
  Boot();
  ExpectStopped();
  Publish({});
  EXPECT_THAT(ApplyOrders(), IsOkAndHolds(IsEmpty()));
  ExpectOperates();
  Boot();
  ExpectOperates();
}

// FOTA-R3, FOTA-R5. Attack: metadata rollback, to have a component go on that must not.
TEST_F(OrdersTest, OldOrdersDoNotLetAStoppedComponentGoOn) {
  Publish({});
  const std::map<std::string, std::string> before = offer_.director.files;
  Publish({kEcu});
  ASSERT_OK(ApplyOrders());
  EXPECT_THAT(ApplyOrders(before).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, trust::kMetadataRollback));
  ExpectStopped();
  Boot();
  EXPECT_THAT(ApplyOrders(before).status(),
              StatusIs(absl::StatusCode::kFailedPrecondition, trust::kMetadataRollback));
  ExpectStopped();
}

// FOTA-R5: nobody on the link stops a device.
TEST_F(OrdersTest, OrdersThatTheDirectorHasNotSignedChangeNothing) {
  Publish({});
  ASSERT_OK(ApplyOrders());
  Publish({kEcu});
  const std::string name = trust::MetadataFilename("targets", offer_.director.targets.version);
  const crypto::PemSigner stranger = trust::NewSigner();
  std::map<std::string, std::string> files = offer_.director.files;
  files[name] = trust::SignedBytes(offer_.director.targets.ToEnvelope(), {&stranger});
  EXPECT_FALSE(ApplyOrders(files).ok());
  EXPECT_FALSE(ApplyOrders({}).ok());
  EXPECT_FALSE(ApplyOrders({{"timestamp.json", "nonsense"}}).ok());
  // The image repository's word is no order.
  EXPECT_FALSE(ApplyOrders(offer_.images.files).ok());
  ExpectOperates();
  ASSERT_OK(ApplyOrders());
  ExpectStopped();
}

// Attack: freeze.
TEST_F(OrdersTest, ExpiredOrdersAreNotFollowed) {
  Publish({kEcu});
  clock_.Advance(absl::Hours(25));
  EXPECT_THAT(ApplyOrders().status(), StatusIs(absl::StatusCode::kFailedPrecondition, trust::kExpired));
  ExpectOperates();
}

// FOTA-R3: it is stopped, and can still be repaired; that does not let it go on.
TEST_F(OrdersTest, AStoppedComponentTakesAnUpdateAndWaitsForTheDirector) {
  Publish({kEcu});
  ExpectInstalls();
  ExpectStopped();
  ASSERT_OK(Activate());
  Boot();
  EXPECT_EQ(component().running().version, "2.0.0");
  ExpectStopped();
  Publish({});
  ASSERT_OK(ApplyOrders());
  ExpectOperates();
}

class ConstrainedOrdersTest : public OrdersTest {
 protected:
  ConstrainedOrdersTest() : OrdersTest({.constrained = true}) {}
};

// FOTA-K, FOTA-R3
TEST_F(ConstrainedOrdersTest, AConstrainedDeviceFollowsTheOrdersThatItsGatewayBrings) {
  offer_.director.targets.quarantine = {kEcu};
  offer_.Publish();
  EXPECT_THAT(ApplyOrders(), IsOkAndHolds(ElementsAre(kEcu)));
  EXPECT_FALSE(operates_.at(kEcu));
  Boot();
  EXPECT_FALSE(operates_.at(kEcu));
  EXPECT_FALSE(ApplyOrders({{"timestamp.json", "nonsense"}}).ok());
  EXPECT_FALSE(operates_.at(kEcu));
  offer_.director.targets.quarantine = {};
  offer_.Publish();
  const std::string name = trust::MetadataFilename("targets", offer_.director.targets.version);
  EXPECT_THAT(ApplyOrders({{name, offer_.director.files.at(name)}}), IsOkAndHolds(IsEmpty()));
  EXPECT_TRUE(operates_.at(kEcu));
}

}  // namespace
}  // namespace countersign::device
