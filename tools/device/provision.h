// Makes a device as it leaves its factory.
#ifndef COUNTERSIGN_TOOLS_DEVICE_PROVISION_H_
#define COUNTERSIGN_TOOLS_DEVICE_PROVISION_H_

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/crypto/public_key.h"

namespace countersign::device {

// What `device provision` is told.
struct Provisioning {
  std::string folder;
  std::string device_id;
  std::string manufacturer;
  std::string model;
  std::string hardware_version;
  std::string app_id;
  // (ecu_serial, hardware_id)
  std::vector<std::pair<std::string, std::string>> components;
  bool constrained = false;
  crypto::KeyType key_type = crypto::KeyType::kEcdsaP256;
  // By ecu_serial: the key that is there already, e.g. on a token (crypto::OpenSigner). Without one it is
  // made.
  std::map<std::string, std::string> keys;
  std::string factory_image;
  std::string factory_version;
  // When this is: the device never believes that it is earlier.
  absl::Time now = absl::InfinitePast();
};

// Makes the device's folder, and writes folder/device.json: what the inventory has to know of it.
absl::Status Provision(const Provisioning& provisioning);

// Where Provision() puts things.
std::string ComponentFolder(absl::string_view folder, absl::string_view ecu_serial);
std::string TimeFile(absl::string_view folder);

}  // namespace countersign::device

#endif  // COUNTERSIGN_TOOLS_DEVICE_PROVISION_H_
