// A device: its description, its components, and what it believes of the two repositories.
#ifndef COUNTERSIGN_TOOLS_DEVICE_DEVICE_H_
#define COUNTERSIGN_TOOLS_DEVICE_DEVICE_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/crypto/public_key.h"
#include "countersign/inventory/v1/inventory.pb.h"
#include "tools/device/component.h"

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
  std::string factory_image;
  std::string factory_version;
};

// Makes the device's folder, and writes folder/device.json: what the inventory has to know of it.
absl::Status Provision(const Provisioning& provisioning);

// Metadata files of a repository by their names there.
using MetadataFiles = std::map<std::string, std::string>;

class Device {
 public:
  struct Options {
    std::string folder;
    // The roots that the device came with.
    std::string director_root;
    std::string image_root;
    HealthCheck healthy;
  };

  // Boots every component.
  static absl::StatusOr<std::unique_ptr<Device>> Boot(Options options);

  // As provisioned.
  const inventory::v1::Device& description() const { return description_; }
  std::string id() const;
  const std::vector<std::unique_ptr<Component>>& components() const { return components_; }
  // NOT_FOUND.
  absl::StatusOr<Component*> Find(absl::string_view ecu_serial);

  // What may be installed on `component` under `target_path`, by the metadata of both repositories at `now`;
  // each refusal of common/trust as it is. What was verified is kept, so that nothing older is believed
  // later. A constrained component believes the gateway: `length` and `sha256` as given, the rest as the
  // Director's file has it.
  absl::StatusOr<SlotContent> Verify(const Component& component, const SlotContent& offered,
                                     const MetadataFiles& director, const MetadataFiles& images,
                                     absl::Time now);

 private:
  explicit Device(Options options) : options_(std::move(options)) {}

  const Options options_;
  inventory::v1::Device description_;
  std::vector<std::unique_ptr<Component>> components_;
};

}  // namespace countersign::device

#endif  // COUNTERSIGN_TOOLS_DEVICE_DEVICE_H_
