#include "services/appid_registry/api/roles.h"

namespace countersign::appid_registry {

const rpc::RoleTable& AppIdRegistryRoles() {
  using rpc::Role;
  static const auto& table =
      *new rpc::RoleTable("countersign.appid_registry.v1.AppIdRegistryService",
                          {
                              {"CreateProfile", {Role::kRegistrar}},
                              {"GetProfile",
                               {Role::kRegistrar, Role::kOperator, Role::kCse, Role::kGateway,
                                Role::kManufacturer, Role::kService}},
                              {"ListProfiles", {Role::kRegistrar, Role::kOperator, Role::kManufacturer}},
                              {"VerifyIdentity", {Role::kCse, Role::kGateway, Role::kService}},
                          });
  return table;
}

}  // namespace countersign::appid_registry
