#ifndef COUNTERSIGN_SERVICES_PACKAGE_STORE_API_ROLES_H_
#define COUNTERSIGN_SERVICES_PACKAGE_STORE_API_ROLES_H_

#include "common/rpc/roles.h"

namespace countersign::package_store {

// Who may call which method of PackageStoreService.
const rpc::RoleTable& PackageStoreRoles();

}  // namespace countersign::package_store

#endif  // COUNTERSIGN_SERVICES_PACKAGE_STORE_API_ROLES_H_
