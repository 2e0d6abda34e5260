#ifndef COUNTERSIGN_SERVICES_APPID_REGISTRY_API_ROLES_H_
#define COUNTERSIGN_SERVICES_APPID_REGISTRY_API_ROLES_H_

#include "common/rpc/roles.h"

namespace countersign::appid_registry {

// Who may call what, as appid_registry.proto says.
const rpc::RoleTable& AppIdRegistryRoles();

}  // namespace countersign::appid_registry

#endif  // COUNTERSIGN_SERVICES_APPID_REGISTRY_API_ROLES_H_
