#ifndef COUNTERSIGN_SERVICES_INVENTORY_API_CALLERS_H_
#define COUNTERSIGN_SERVICES_INVENTORY_API_CALLERS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/rpc/handler.h"
#include "common/rpc/mutation.h"
#include "google/protobuf/message_lite.h"
#include "services/inventory/storage/inventory_store.h"

// What the handlers of this service have in common: what a caller may see of the fleet (a gateway its own
// home, a manufacturer its own devices, others everything), its pages and its mutations.
namespace countersign::inventory {

inline constexpr int kDefaultPageSize = 100;
inline constexpr int kMaxPageSize = 1000;

// PERMISSION_DENIED (NOT_YOUR_GATEWAY) for a gateway that speaks of another one. Everyone else whom the role
// table lets in may name any.
absl::Status CheckOwnGateway(const rpc::Call& call, absl::string_view gateway_id);

// PERMISSION_DENIED (NOT_YOUR_DEVICE) for a manufacturer that provisions another's device.
absl::Status CheckOwnDevice(const rpc::Call& call, absl::string_view manufacturer);

Visibility VisibilityOf(const rpc::Call& call);

// What a page token belongs to: the list, what selects from it, and whose it is.
std::string PageScope(const rpc::Call& call, absl::string_view selection);

template <typename Request>
Mutation MutationOf(const rpc::Call& call, const Request& request) {
  return {call.identity().ToString(), call.method(), request.request_id(), rpc::RequestBytes(request)};
}

// The response that is recorded with a request.
absl::Status ParseStored(const std::string& bytes, google::protobuf::MessageLite* response);

}  // namespace countersign::inventory

#endif  // COUNTERSIGN_SERVICES_INVENTORY_API_CALLERS_H_
