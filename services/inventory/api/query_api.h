#ifndef COUNTERSIGN_SERVICES_INVENTORY_API_QUERY_API_H_
#define COUNTERSIGN_SERVICES_INVENTORY_API_QUERY_API_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/clock/clock.h"
#include "common/rpc/handler.h"
#include "countersign/inventory/v1/inventory.pb.h"
#include "services/inventory/storage/fleet_queries.h"

namespace countersign::inventory {

// The methods of InventoryService that ask for what a filter selects. What it is given must outlive it, and
// it must outlive the server that it is bound to.
class QueryApi {
 public:
  QueryApi(FleetQueries& queries, const Clock& clock) : queries_(queries), clock_(clock) {}

  void BindTo(rpc::Service& service);

 private:
  absl::Status ListGateways(const rpc::Call& call, const v1::ListGatewaysRequest& request,
                            v1::ListGatewaysResponse* response);
  absl::Status ListDevices(const rpc::Call& call, const v1::ListDevicesRequest& request,
                           v1::ListDevicesResponse* response);
  absl::Status ListComponents(const rpc::Call& call, const v1::ListComponentsRequest& request,
                              v1::ListComponentsResponse* response);
  absl::StatusOr<std::unique_ptr<rpc::Producer<v1::StreamComponentsResponse>>> StreamComponents(
      const rpc::Call& call, const v1::StreamComponentsRequest& request, rpc::Waker waker);
  absl::Status CountComponents(const rpc::Call& call, const v1::CountComponentsRequest& request,
                               v1::CountComponentsResponse* response);
  absl::Status ExplainFilter(const rpc::Call& call, const v1::ExplainFilterRequest& request,
                             v1::ExplainFilterResponse* response);

  FleetQueries& queries_;
  const Clock& clock_;
};

}  // namespace countersign::inventory

#endif  // COUNTERSIGN_SERVICES_INVENTORY_API_QUERY_API_H_
