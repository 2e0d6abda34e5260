#ifndef COUNTERSIGN_SERVICES_INVENTORY_DOMAIN_FILTER_H_
#define COUNTERSIGN_SERVICES_INVENTORY_DOMAIN_FILTER_H_

#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "services/inventory/domain/component.h"

namespace countersign::inventory::domain {

// What a filter can restrict by its text.
enum class TextField { kGateway, kDevice, kEcuSerial, kManufacturer, kModel, kHardwareId, kVersion };

struct TextIs {
  TextField field;
  std::string value;

  friend bool operator==(const TextIs&, const TextIs&) = default;
};
struct StateIs {
  State state;

  friend bool operator==(const StateIs&, const StateIs&) = default;
};
struct KindIs {
  GatewayKind kind;

  friend bool operator==(const KindIs&, const KindIs&) = default;
};
using Restriction = std::variant<TextIs, StateIs, KindIs>;

// All of `restrictions` hold; none of them selects everything.
struct Filter {
  std::vector<Restriction> restrictions;
};

inline constexpr size_t kMaxFilterBytes = 2048;
inline constexpr size_t kMaxRestrictions = 16;

// Reads the part of AIP-160 that the API has: restrictions `field = value` joined by AND. A value is quoted
// ("..." or
// '...', in which a backslash takes the next character as it is) or a bare word of [A-Za-z0-9._/-]. Fields
// are gateway, device, ecu_serial, manufacturer, model, hardware_id, version, state (as Component.State
// without its prefix, or with it) and kind (HOME or VEHICLE). INVALID_ARGUMENT (FILTER_INVALID) with the
// place and what was expected there.
absl::StatusOr<Filter> ParseFilter(absl::string_view text);

}  // namespace countersign::inventory::domain

#endif  // COUNTERSIGN_SERVICES_INVENTORY_DOMAIN_FILTER_H_
