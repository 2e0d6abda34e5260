#ifndef COUNTERSIGN_SERVICES_CONSENT_API_ROLES_H_
#define COUNTERSIGN_SERVICES_CONSENT_API_ROLES_H_

#include "common/rpc/roles.h"

namespace countersign::consent {

// Who may call which method of ConsentService.
const rpc::RoleTable& ConsentRoles();

}  // namespace countersign::consent

#endif  // COUNTERSIGN_SERVICES_CONSENT_API_ROLES_H_
