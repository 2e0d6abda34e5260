#include "services/inventory/api/callers.h"

#include "absl/strings/str_cat.h"
#include "common/status/errors.h"

namespace countersign::inventory {

absl::Status CheckOwnGateway(const rpc::Call& call, absl::string_view gateway_id) {
  if (call.identity().role != rpc::Role::kGateway || call.identity().id == gateway_id)
    return absl::OkStatus();
  return Error(absl::StatusCode::kPermissionDenied, "NOT_YOUR_GATEWAY",
               absl::StrCat(call.identity().ToString(), " has no right to gateway \"", gateway_id,
                            "\": a gateway sees its own home only."));
}

Visibility VisibilityOf(const rpc::Call& call) {
  Visibility visibility;
  if (call.identity().role == rpc::Role::kManufacturer) visibility.manufacturer = call.identity().id;
  if (call.identity().role == rpc::Role::kGateway) visibility.gateway_id = call.identity().id;
  return visibility;
}

}  // namespace countersign::inventory
