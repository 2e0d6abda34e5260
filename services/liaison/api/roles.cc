#include "services/liaison/api/roles.h"

namespace countersign::liaison {

const rpc::RoleTable& LiaisonRoles() {
  using rpc::Role;
  static const auto& table = *new rpc::RoleTable(
      "countersign.liaison.v1.LiaisonService",
      {
          {"CreateManufacturer", {Role::kOperator}},
          {"GetManufacturer", {Role::kOperator, Role::kAuthority, Role::kManufacturer, Role::kService}},
          {"ListManufacturers", {Role::kOperator, Role::kAuthority, Role::kService}},
          {"RefreshManufacturer", {Role::kOperator}},
          {"CreateRelease", {Role::kManufacturer}},
          {"GetRelease",
           {Role::kOperator, Role::kAuthority, Role::kManufacturer, Role::kGateway, Role::kService}},
          {"ListReleases", {Role::kOperator, Role::kAuthority, Role::kManufacturer, Role::kService}},
          {"FindUpdates", {Role::kOperator, Role::kGateway, Role::kService}},
          {"CreateNotice", {Role::kOperator}},
          {"ListNotices", {Role::kOperator, Role::kManufacturer}},
      });
  return table;
}

}  // namespace countersign::liaison
