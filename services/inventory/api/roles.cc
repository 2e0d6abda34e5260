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
          {"WatchComponents", {Role::kService}},
          {"CountComponents", {Role::kOperator, Role::kManufacturer, Role::kGateway, Role::kService}},
          {"ExplainFilter", {Role::kOperator}},
          // Closed until their handlers are there.
          {"AnnounceDevice", {}},
          {"ListPendingDevices", {}},
          {"ApproveDevice", {}},
          {"RejectDevice", {}},
          {"MoveDevice", {}},
          {"QuarantineComponent", {}},
          {"ReleaseComponent", {}},
          {"RetireComponent", {}},
          {"ListComponentHistory", {}},
          {"ListRefusedReports", {}},
          {"SetTags", {}},
          {"ImportFleet", {}},
      });
  return table;
}

}  // namespace countersign::inventory
