#ifndef COUNTERSIGN_SERVICES_LIAISON_API_ROLES_H_
#define COUNTERSIGN_SERVICES_LIAISON_API_ROLES_H_

#include "common/rpc/roles.h"

namespace countersign::liaison {

const rpc::RoleTable& LiaisonRoles();

}  // namespace countersign::liaison

#endif  // COUNTERSIGN_SERVICES_LIAISON_API_ROLES_H_
