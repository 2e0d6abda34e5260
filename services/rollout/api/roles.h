#ifndef COUNTERSIGN_SERVICES_ROLLOUT_API_ROLES_H_
#define COUNTERSIGN_SERVICES_ROLLOUT_API_ROLES_H_

#include "common/rpc/roles.h"

namespace countersign::rollout {

// Who may call what of countersign.rollout.v1.RolloutService, as the API's comments say.
const rpc::RoleTable& RolloutRoles();

}  // namespace countersign::rollout

#endif  // COUNTERSIGN_SERVICES_ROLLOUT_API_ROLES_H_
