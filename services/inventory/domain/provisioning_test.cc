#include "services/inventory/domain/provisioning.h"

#include <string>

#include "common/crypto/public_key.h"
#include "common/crypto/signer.h"
#include "common/testing/status_matchers.h"
#include "gtest/gtest.h"

namespace countersign::inventory::domain {
namespace {

using ::testing::Values;

std::string NewKey(crypto::KeyType type = crypto::KeyType::kEd25519) {
  return crypto::PemSigner::Generate(type)->public_key().Pem();
}

Gateway GoodGateway() {
  Gateway gateway;
  gateway.id = "home-1";
  gateway.display_name = "The Millers";
  gateway.public_key_pem = NewKey();
  gateway.proxy_public_key_pem = NewKey(crypto::KeyType::kEcdsaP256);
  return gateway;
}

Component GoodComponent(const std::string& serial) {
  Component component;
  component.ecu_serial = serial;
  component.hardware_id = "hw-1";
  component.public_key_pem = NewKey();
  return component;
}

Device GoodDevice() {
  Device device;
  device.gateway_id = "home-1";
  device.id = "thermostat";
  device.manufacturer = "acme";
  device.model = "T1000";
  device.hardware_version = "B2";
  device.components = {GoodComponent("SN-1"), GoodComponent("SN-2")};
  return device;
}

TEST(ProvisioningTest, AGatewayWithItsKeysIsAccepted) {
  EXPECT_OK(CheckGateway(GoodGateway()));
  Gateway gateway = GoodGateway();
  gateway.proxy_public_key_pem.clear();
  EXPECT_OK(CheckGateway(gateway));
}

struct GatewayCase {
  const char* what;
  void (*spoil)(Gateway&);
  const char* reason;
};

class BadGatewayTest : public ::testing::TestWithParam<GatewayCase> {};

TEST_P(BadGatewayTest, IsRefused) {
  Gateway gateway = GoodGateway();
  GetParam().spoil(gateway);
  EXPECT_THAT(CheckGateway(gateway), StatusIs(absl::StatusCode::kInvalidArgument, GetParam().reason))
      << GetParam().what;
}

INSTANTIATE_TEST_SUITE_P(
    Cases, BadGatewayTest,
    Values(GatewayCase{"id", [](Gateway& g) { g.id = "Home 1"; }, "GATEWAY_INVALID"},
           GatewayCase{"long name", [](Gateway& g) { g.display_name.assign(129, 'x'); }, "GATEWAY_INVALID"},
           GatewayCase{"NUL in name", [](Gateway& g) { g.display_name = std::string("a\0b", 3); },
                       "GATEWAY_INVALID"},
           GatewayCase{"no key", [](Gateway& g) { g.public_key_pem.clear(); }, "KEY_INVALID"},
           GatewayCase{"nonsense key", [](Gateway& g) { g.public_key_pem = "nonsense"; }, "KEY_INVALID"},
           GatewayCase{"huge key", [](Gateway& g) { g.public_key_pem.assign(5000, 'A'); }, "KEY_INVALID"},
           GatewayCase{"nonsense proxy key", [](Gateway& g) { g.proxy_public_key_pem = "nonsense"; },
                       "KEY_INVALID"},
           GatewayCase{"one key for both", [](Gateway& g) { g.proxy_public_key_pem = g.public_key_pem; },
                       "KEY_INVALID"}));

// FOTA-K
TEST(ProvisioningTest, AConstrainedComponentHasNoKeyAndAnyOtherHasOne) {
  Device device = GoodDevice();
  EXPECT_OK(CheckDevice(device));
  device.components[0].constrained = true;
  EXPECT_THAT(CheckDevice(device), StatusIs(absl::StatusCode::kInvalidArgument, "DEVICE_INVALID"));
  device.components[0].public_key_pem.clear();
  EXPECT_OK(CheckDevice(device));
  device.components[0].constrained = false;
  EXPECT_THAT(CheckDevice(device), StatusIs(absl::StatusCode::kInvalidArgument, "DEVICE_INVALID"));
}

struct DeviceCase {
  const char* what;
  void (*spoil)(Device&);
  const char* reason;
};

class BadDeviceTest : public ::testing::TestWithParam<DeviceCase> {};

TEST_P(BadDeviceTest, IsRefused) {
  Device device = GoodDevice();
  GetParam().spoil(device);
  EXPECT_THAT(CheckDevice(device), StatusIs(absl::StatusCode::kInvalidArgument, GetParam().reason))
      << GetParam().what;
}

INSTANTIATE_TEST_SUITE_P(
    Cases, BadDeviceTest,
    Values(DeviceCase{"gateway", [](Device& d) { d.gateway_id = ""; }, "DEVICE_INVALID"},
           DeviceCase{"id", [](Device& d) { d.id = "a/b"; }, "DEVICE_INVALID"},
           DeviceCase{"manufacturer", [](Device& d) { d.manufacturer = "ACME Inc."; }, "DEVICE_INVALID"},
           DeviceCase{"no model", [](Device& d) { d.model.clear(); }, "DEVICE_INVALID"},
           DeviceCase{"long model", [](Device& d) { d.model.assign(65, 'x'); }, "DEVICE_INVALID"},
           DeviceCase{"no hardware version", [](Device& d) { d.hardware_version.clear(); }, "DEVICE_INVALID"},
           DeviceCase{"long app id", [](Device& d) { d.app_id.assign(257, 'R'); }, "DEVICE_INVALID"},
           DeviceCase{"no component", [](Device& d) { d.components.clear(); }, "DEVICE_INVALID"},
           DeviceCase{"33 components",
                      [](Device& d) {
                        for (int i = 3; i <= 33; ++i)
                          d.components.push_back(GoodComponent("SN-" + std::to_string(i)));
                      },
                      "DEVICE_INVALID"},
           DeviceCase{"serial", [](Device& d) { d.components[1].ecu_serial = "SN 2"; }, "DEVICE_INVALID"},
           DeviceCase{"serial twice", [](Device& d) { d.components[1].ecu_serial = "SN-1"; },
                      "DEVICE_INVALID"},
           DeviceCase{"no hardware id", [](Device& d) { d.components[1].hardware_id.clear(); },
                      "DEVICE_INVALID"},
           DeviceCase{"nonsense key", [](Device& d) { d.components[1].public_key_pem = "nonsense"; },
                      "KEY_INVALID"},
           DeviceCase{"key twice",
                      [](Device& d) { d.components[1].public_key_pem = d.components[0].public_key_pem; },
                      "KEY_INVALID"}));

TEST(ProvisioningTest, AComponentMustNotHaveAKeyOfItsGateway) {
  const Gateway gateway = GoodGateway();
  Device device = GoodDevice();
  EXPECT_OK(CheckKeysApart(gateway, device));
  device.components[1].public_key_pem = gateway.proxy_public_key_pem;
  EXPECT_THAT(CheckKeysApart(gateway, device), StatusIs(absl::StatusCode::kInvalidArgument, "KEY_INVALID"));
  device.components[1].public_key_pem = gateway.public_key_pem;
  EXPECT_THAT(CheckKeysApart(gateway, device), StatusIs(absl::StatusCode::kInvalidArgument, "KEY_INVALID"));
}

}  // namespace
}  // namespace countersign::inventory::domain
