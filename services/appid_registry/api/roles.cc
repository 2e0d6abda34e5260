#include "services/appid_registry/api/roles.h"

namespace countersign::appid_registry {

const rpc::RoleTable& AppIdRegistryRoles() {
  using rpc::Role;
  static const auto& table = *new rpc::RoleTable(
      "countersign.appid_registry.v1.AppIdRegistryService",
      {
          {"CreateProfile", {Role::kRegistrar}},
          {"GetProfile",
           {Role::kRegistrar, Role::kOperator, Role::kCse, Role::kGateway, Role::kManufacturer,
            Role::kService}},
          {"ListProfiles", {Role::kRegistrar, Role::kOperator, Role::kManufacturer}},
          {"UpdateProfile", {Role::kRegistrar}},
          {"ListProfileVersions", {Role::kRegistrar, Role::kOperator, Role::kManufacturer}},
          {"ListProfileEvents", {Role::kRegistrar, Role::kOperator, Role::kManufacturer}},
          {"SuspendProfile", {Role::kRegistrar}},
          {"ReinstateProfile", {Role::kRegistrar}},
          {"RevokeProfile", {Role::kRegistrar}},
          {"ImportProfiles", {Role::kRegistrar}},
          {"IssueAppId", {Role::kRegistrar}},
          {"CreateRegistrant", {Role::kRegistrar}},
          {"GetRegistrant", {Role::kRegistrar, Role::kOperator}},
          {"ListRegistrants", {Role::kRegistrar, Role::kOperator}},
          {"UpdateRegistrant", {Role::kRegistrar}},
          {"VerifyIdentity", {Role::kCse, Role::kGateway, Role::kService}},
      });
  return table;
}

}  // namespace countersign::appid_registry
