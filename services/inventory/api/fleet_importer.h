#ifndef COUNTERSIGN_SERVICES_INVENTORY_API_FLEET_IMPORTER_H_
#define COUNTERSIGN_SERVICES_INVENTORY_API_FLEET_IMPORTER_H_

#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "common/clock/clock.h"
#include "common/rpc/handler.h"
#include "countersign/inventory/v1/inventory.pb.h"
#include "services/inventory/domain/component.h"
#include "services/inventory/storage/fleet_import.h"

namespace countersign::inventory {

// One stream of ImportFleet.
struct FleetImporter {
  FleetImport& import;
  const Clock& clock;
  // Fills what the App-ID registry says of a device that has an App-ID.
  std::function<absl::Status(domain::Device&)> ask_registry;
  // Something was changed.
  std::function<void()> on_change;
};
std::unique_ptr<rpc::Consumer<v1::ImportFleetRequest, v1::ImportFleetResponse>> NewFleetImport(
    FleetImporter importer);

}  // namespace countersign::inventory

#endif  // COUNTERSIGN_SERVICES_INVENTORY_API_FLEET_IMPORTER_H_
