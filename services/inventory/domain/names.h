#ifndef COUNTERSIGN_SERVICES_INVENTORY_DOMAIN_NAMES_H_
#define COUNTERSIGN_SERVICES_INVENTORY_DOMAIN_NAMES_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

// Resource names. Parsers return INVALID_ARGUMENT (NAME_INVALID) with the form that was expected.
namespace countersign::inventory::domain {

struct DeviceName {
  std::string gateway_id;
  std::string device_id;
};

struct ComponentId {
  std::string gateway_id;
  std::string ecu_serial;
};

std::string GatewayName(absl::string_view gateway_id);  // gateways/{gateway}
std::string FormatDeviceName(absl::string_view gateway_id,
                             absl::string_view device_id);  // .../devices/{device}
std::string ComponentName(absl::string_view gateway_id,
                          absl::string_view ecu_serial);  // .../components/{ecu_serial}

absl::StatusOr<std::string> ParseGatewayName(absl::string_view name);
absl::StatusOr<DeviceName> ParseDeviceName(absl::string_view name);
absl::StatusOr<ComponentId> ParseComponentName(absl::string_view name);
// The gateway's id, or "" for `gateways/-`, which stands for all.
absl::StatusOr<std::string> ParseDeviceParent(absl::string_view parent);

// Whether `id` can be that of a certificate: 1 to 63 of [a-z0-9.-], beginning and ending with a letter or
// digit, and without "..". Ids of gateways and of manufacturers.
bool IsPartyId(absl::string_view id);
// 1 to 64 of [A-Za-z0-9._-]: ids of devices and serial numbers.
bool IsSerial(absl::string_view text);

}  // namespace countersign::inventory::domain

#endif  // COUNTERSIGN_SERVICES_INVENTORY_DOMAIN_NAMES_H_
