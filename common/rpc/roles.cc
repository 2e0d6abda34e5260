#include "common/rpc/roles.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status/errors.h"
#include "google/protobuf/descriptor.h"

namespace countersign::rpc {

RoleTable::RoleTable(std::string service, std::vector<Row> rows) : service_(std::move(service)) {
  for (Row& row : rows) {
    std::string method = row.method;
    if (!rows_.emplace(method, std::move(row)).second) {
      std::fprintf(stderr, "%s: the role table has two rows for %s\n", service_.c_str(), method.c_str());
      std::abort();
    }
  }
}

bool RoleTable::Allows(absl::string_view method, const Identity& identity) const {
  const auto row = rows_.find(std::string(method));
  if (row == rows_.end()) return false;
  const std::vector<Role>& roles = row->second.roles;
  if (std::find(roles.begin(), roles.end(), identity.role) != roles.end()) return true;
  const std::vector<std::string>& services = row->second.services;
  return identity.role == Role::kService &&
         std::find(services.begin(), services.end(), identity.id) != services.end();
}

absl::Status RoleTable::Check(absl::string_view method, const Identity& identity) const {
  if (Allows(method, identity)) return absl::OkStatus();
  std::vector<std::string> allowed;
  if (const auto row = rows_.find(std::string(method)); row != rows_.end()) {
    for (Role role : row->second.roles) allowed.emplace_back(RoleName(role));
    for (const std::string& service : row->second.services) allowed.push_back("service/" + service);
  }
  return Error(absl::StatusCode::kPermissionDenied, "ROLE_NOT_ALLOWED",
               absl::StrCat(identity.ToString(), " may not call ", service_, "/", method, "; it is for ",
                            allowed.empty() ? "nobody" : absl::StrJoin(allowed, ", ")),
               {{"caller", identity.ToString()}, {"method", absl::StrCat(service_, "/", method)}});
}

absl::Status RoleTable::CheckComplete() const {
  const google::protobuf::ServiceDescriptor* service =
      google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(service_);
  if (service == nullptr) {
    return Error(absl::StatusCode::kFailedPrecondition, "UNKNOWN_SERVICE",
                 absl::StrCat("no service ", service_, " is linked in; correct the name in its role table"));
  }
  std::vector<std::string> wrong;
  for (int i = 0; i < service->method_count(); ++i) {
    if (rows_.count(service->method(i)->name()) == 0) {
      wrong.push_back(absl::StrCat(service->method(i)->name(), " has no row"));
    }
  }
  for (const auto& [method, row] : rows_) {
    if (service->FindMethodByName(method) == nullptr) wrong.push_back(absl::StrCat(method, " is no method"));
  }
  if (wrong.empty()) return absl::OkStatus();
  return Error(absl::StatusCode::kFailedPrecondition, "ROLE_TABLE_INCOMPLETE",
               absl::StrCat("the role table of ", service_, ": ", absl::StrJoin(wrong, ", ")));
}

}  // namespace countersign::rpc
