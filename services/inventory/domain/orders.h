#ifndef COUNTERSIGN_SERVICES_INVENTORY_DOMAIN_ORDERS_H_
#define COUNTERSIGN_SERVICES_INVENTORY_DOMAIN_ORDERS_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "services/inventory/domain/component.h"

// What people order about components and note about things. Pure. FAILED_PRECONDITION (WRONG_STATE) when it
// is not for the component's state; the result is whether anything changed.
namespace countersign::inventory::domain {

// Orders it to stop operating: from every state but RETIRED; one that is ordered already stays as it was
// ordered first.
absl::StatusOr<bool> OrderQuarantine(absl::string_view ordered_by, absl::string_view reason, absl::Time now,
                                     ComponentStatus& status);
// Takes that back: UNVERIFIED until the next report.
absl::StatusOr<bool> Release(ComponentStatus& status);
// For ever, from every state; an order to stop ends with it.
absl::StatusOr<bool> Retire(ComponentStatus& status);

// A failed update more.
void AddFailure(UpdateFailure failure, ComponentStatus& status);

// INVALID_ARGUMENT (REASON_MISSING) unless it has 1 to 256 characters without control characters.
absl::Status CheckNote(absl::string_view reason);

using Tags = std::map<std::string, std::string>;
inline constexpr size_t kMaxTags = 32;

// INVALID_ARGUMENT (TAG_INVALID): names `[a-z][a-z0-9_-]{0,62}`, values of at most 63 printable characters,
// at most kMaxTags.
absl::Status CheckTags(const Tags& tags);
// `tags` with `set`, without `remove`: INVALID_ARGUMENT (TAG_INVALID).
absl::StatusOr<Tags> ChangeTags(Tags tags, const Tags& set, const std::vector<std::string>& remove);
// What a component has: its device's, and its gateway's where the device has none of that name.
Tags ComponentTags(const Tags& of_gateway, const Tags& of_device);

}  // namespace countersign::inventory::domain

#endif  // COUNTERSIGN_SERVICES_INVENTORY_DOMAIN_ORDERS_H_
