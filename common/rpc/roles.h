// Who may call what. One table per gRPC service, beside its handlers:
//
//   const rpc::RoleTable& InventoryRoles() {
//     static const auto& table = *new rpc::RoleTable("countersign.inventory.v1.InventoryService", {
//         {"CreateGateway", {Role::kOperator}},
//         // And, of the services, these two.
//         {"GetGateway", {Role::kOperator, Role::kGateway}, {"rollout", "consent"}},
//         {"SubmitManifest", {Role::kGateway}},
//     });
//     return table;
//   }
//
// A method without a row, or with an empty one, is closed to everyone; a server refuses to start unless each
// method has its row. The table is the coarse half of authorisation: that a manufacturer sees its own devices
// only is the handler's to check.
#ifndef COUNTERSIGN_COMMON_RPC_ROLES_H_
#define COUNTERSIGN_COMMON_RPC_ROLES_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/rpc/identity.h"

namespace countersign::rpc {

class RoleTable {
 public:
  struct Row {
    std::string method;  // short name, e.g. "GetGateway"
    std::vector<Role> roles;
    // Services that may call, by id. Naming one opens the method to it alone; Role::kService in `roles` opens
    // it to all services.
    std::vector<std::string> services = {};
  };

  // `service` is the full name of a protobuf service. Two rows for one method are a programmer's error and
  // abort.
  RoleTable(std::string service, std::vector<Row> rows);

  const std::string& service() const { return service_; }
  const std::map<std::string, Row>& rows() const { return rows_; }  // by short method name

  bool Allows(absl::string_view method, const Identity& identity) const;

  // OK, or PERMISSION_DENIED (reason ROLE_NOT_ALLOWED) that names the caller, the method and who may call it.
  absl::Status Check(absl::string_view method, const Identity& identity) const;

  // OK when the rows are exactly the methods of the service as its linked-in descriptor declares them;
  // FAILED_PRECONDITION that lists what is missing or unknown, or that the service's proto is not linked in.
  absl::Status CheckComplete() const;

 private:
  std::string service_;
  std::map<std::string, Row> rows_;
};

}  // namespace countersign::rpc

#endif  // COUNTERSIGN_COMMON_RPC_ROLES_H_
