#include "services/inventory/api/roles.h"

namespace countersign::inventory {

const rpc::RoleTable& InventoryRoles() {
  using rpc::Role;
  static const auto& table = *new rpc::RoleTable(
      "countersign.inventory.v1.InventoryService",
      {
          {"CreateGateway", {Role::kOperator}},
          {"GetGateway", {Role::kOperator, Role::kGateway, Role::kService}},
          {"ListGateways", {Role::kOperator, Role::kService}},
          {"CreateDevice", {Role::kOperator, Role::kManufacturer}},
          {"GetDevice", {Role::kOperator, Role::kManufacturer, Role::kGateway, Role::kService}},
          {"ListDevices", {Role::kOperator, Role::kManufacturer, Role::kGateway, Role::kService}},
          {"CreateChallenge", {Role::kGateway}},
          {"SubmitManifest", {Role::kGateway}},
          {"ListComponents", {Role::kOperator, Role::kManufacturer, Role::kGateway, Role::kService}},
          {"StreamComponents", {Role::kOperator, Role::kService}},
          {"WatchComponents", {Role::kOperator, Role::kService}},
          {"ImportFleet", {Role::kOperator}},
          {"CountComponents", {Role::kOperator, Role::kManufacturer, Role::kGateway, Role::kService}},
          {"ExplainFilter", {Role::kOperator}},
          {"AnnounceDevice", {Role::kGateway}},
          {"ListPendingDevices", {Role::kOperator, Role::kManufacturer, Role::kGateway}},
          {"ApproveDevice", {Role::kOperator, Role::kManufacturer}},
          {"RejectDevice", {Role::kOperator, Role::kManufacturer}},
          {"MoveDevice", {Role::kOperator}},
          {"QuarantineComponent", {Role::kOperator}},
          {"ReleaseComponent", {Role::kOperator}},
          {"RetireComponent", {Role::kOperator}},
          {"ListComponentHistory", {Role::kOperator, Role::kManufacturer, Role::kGateway, Role::kService}},
          {"ListRefusedReports", {Role::kOperator}},
          {"SetTags", {Role::kOperator}},
      });
  return table;
}

}  // namespace countersign::inventory
