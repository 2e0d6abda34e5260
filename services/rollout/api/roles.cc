#include "services/rollout/api/roles.h"

namespace countersign::rollout {

using rpc::Role;

const rpc::RoleTable& RolloutRoles() {
  static const auto& table = *new rpc::RoleTable(
      "countersign.rollout.v1.RolloutService",
      {
          {"PublishDirectorRoot", {Role::kOperator}},
          {"CreateRollout", {Role::kOperator}},
          {"GetRollout", {Role::kOperator, Role::kAuthority, Role::kService}},
          {"ListRollouts", {Role::kOperator, Role::kAuthority, Role::kService}},
          {"StartRollout", {Role::kOperator}},
          {"PauseRollout", {Role::kOperator}},
          {"ResumeRollout", {Role::kOperator}},
          {"AbortRollout", {Role::kOperator}},
          // A gateway sees its own.
          {"ListAssignments", {Role::kOperator, Role::kAuthority, Role::kGateway, Role::kService}},
          // A gateway its own; an operator any, for what is installed without network.
          {"GetDirectorMetadata", {Role::kGateway, Role::kOperator}},
          // Each for the gateway that the caller's certificate names (FOTA-B).
          {"CheckIn", {Role::kGateway}},
          {"StreamHints", {Role::kGateway}},
          {"ReportProgress", {Role::kGateway}},
          {"WatchFailures", {Role::kService}},
      });
  return table;
}

}  // namespace countersign::rollout
