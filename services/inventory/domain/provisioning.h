#ifndef COUNTERSIGN_SERVICES_INVENTORY_DOMAIN_PROVISIONING_H_
#define COUNTERSIGN_SERVICES_INVENTORY_DOMAIN_PROVISIONING_H_

#include "absl/status/status.h"
#include "services/inventory/domain/component.h"

// What may be provisioned. Pure.
namespace countersign::inventory::domain {

// INVALID_ARGUMENT with the field that is wrong and what it should be: GATEWAY_INVALID, TAG_INVALID, or
// KEY_INVALID for a key that cannot be read, is too weak, or is the same for the gateway's own word and for
// the word it gives for others.
absl::Status CheckGateway(const Gateway& gateway);

// INVALID_ARGUMENT: DEVICE_INVALID, TAG_INVALID, or KEY_INVALID. A component has a key exactly when it is not
// constrained, and no two components of a device share a serial number or a key: a report would not say who
// made it.
absl::Status CheckDevice(const Device& device);

// INVALID_ARGUMENT (KEY_INVALID) when a component of `device` has one of the keys of its gateway: the gateway
// could then speak as if it were the component. Both must have passed the checks above.
absl::Status CheckKeysApart(const Gateway& gateway, const Device& device);

}  // namespace countersign::inventory::domain

#endif  // COUNTERSIGN_SERVICES_INVENTORY_DOMAIN_PROVISIONING_H_
