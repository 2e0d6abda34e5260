#ifndef COUNTERSIGN_SERVICES_INVENTORY_API_ROLES_H_
#define COUNTERSIGN_SERVICES_INVENTORY_API_ROLES_H_

#include "common/rpc/roles.h"

namespace countersign::inventory {

// Who may call what, as inventory.proto says.
const rpc::RoleTable& InventoryRoles();

}  // namespace countersign::inventory

#endif  // COUNTERSIGN_SERVICES_INVENTORY_API_ROLES_H_
