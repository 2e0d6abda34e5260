#ifndef COUNTERSIGN_SERVICES_INVENTORY_API_CALLERS_H_
#define COUNTERSIGN_SERVICES_INVENTORY_API_CALLERS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/rpc/handler.h"
#include "services/inventory/storage/inventory_store.h"

// What a caller may see of the fleet: a gateway its own home, a manufacturer its own devices, others
// everything.
namespace countersign::inventory {

// PERMISSION_DENIED (NOT_YOUR_GATEWAY) for a gateway that speaks of another one. Everyone else whom the role
// table lets in may name any.
absl::Status CheckOwnGateway(const rpc::Call& call, absl::string_view gateway_id);

Visibility VisibilityOf(const rpc::Call& call);

}  // namespace countersign::inventory

#endif  // COUNTERSIGN_SERVICES_INVENTORY_API_CALLERS_H_
