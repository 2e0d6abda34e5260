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

absl::Status CheckOwnDevice(const rpc::Call& call, absl::string_view manufacturer) {
  if (call.identity().role != rpc::Role::kManufacturer || call.identity().id == manufacturer) {
    return absl::OkStatus();
  }
  return Error(absl::StatusCode::kPermissionDenied, "NOT_YOUR_DEVICE",
               absl::StrCat(call.identity().ToString(), " provisions devices of its own only, not of \"",
                            manufacturer, "\"."));
}

Visibility VisibilityOf(const rpc::Call& call) {
  Visibility visibility;
  if (call.identity().role == rpc::Role::kManufacturer) visibility.manufacturer = call.identity().id;
  if (call.identity().role == rpc::Role::kGateway) visibility.gateway_id = call.identity().id;
  return visibility;
}

std::string PageScope(const rpc::Call& call, absl::string_view selection) {
  return absl::StrCat(call.method(), "|", call.identity().ToString(), "|", selection);
}

absl::Status ParseStored(const std::string& bytes, google::protobuf::MessageLite* response) {
  if (response->ParseFromString(bytes)) return absl::OkStatus();
  return absl::InternalError("the recorded response of a request cannot be read");
}

}  // namespace countersign::inventory
