#ifndef COUNTERSIGN_SERVICES_INVENTORY_API_FLEET_HANDLERS_H_
#define COUNTERSIGN_SERVICES_INVENTORY_API_FLEET_HANDLERS_H_

#include "absl/status/status.h"
#include "common/clock/clock.h"
#include "common/feed/tail.h"
#include "common/rpc/handler.h"
#include "countersign/inventory/v1/inventory.pb.h"
#include "services/inventory/clients/appid_registry_client.h"
#include "services/inventory/storage/history.h"
#include "services/inventory/storage/inventory_store.h"
#include "services/inventory/storage/orders.h"
#include "services/inventory/storage/pending_devices.h"

namespace countersign::inventory {

// The methods of InventoryService that keep a fleet in order: enrolment, moves, orders to stop, tags, and
// what was. What it is given must outlive it, and it must outlive the server that it is bound to.
class FleetHandlers {
 public:
  struct Parts {
    InventoryStore& store;
    Orders& orders;
    PendingDevices& pending;
    History& history;
    AppIdRegistryClient& app_id_registry;
    feed::Tail& tail;
    const Clock& clock;
  };

  explicit FleetHandlers(const Parts& parts) : parts_(parts) {}

  void Bind(rpc::Service& service);

 private:
  absl::Status AnnounceDevice(const rpc::Call& call, const v1::AnnounceDeviceRequest& request,
                              v1::Device* response);
  absl::Status ListPendingDevices(const rpc::Call& call, const v1::ListPendingDevicesRequest& request,
                                  v1::ListPendingDevicesResponse* response);
  absl::Status ApproveDevice(const rpc::Call& call, const v1::ApproveDeviceRequest& request,
                             v1::Device* response);
  absl::Status RejectDevice(const rpc::Call& call, const v1::RejectDeviceRequest& request,
                            v1::RejectDeviceResponse* response);
  absl::Status MoveDevice(const rpc::Call& call, const v1::MoveDeviceRequest& request, v1::Device* response);
  absl::Status QuarantineComponent(const rpc::Call& call, const v1::QuarantineComponentRequest& request,
                                   v1::Component* response);
  absl::Status ReleaseComponent(const rpc::Call& call, const v1::ReleaseComponentRequest& request,
                                v1::Component* response);
  absl::Status RetireComponent(const rpc::Call& call, const v1::RetireComponentRequest& request,
                               v1::Component* response);
  absl::Status ListComponentHistory(const rpc::Call& call, const v1::ListComponentHistoryRequest& request,
                                    v1::ListComponentHistoryResponse* response);
  absl::Status ListRefusedReports(const rpc::Call& call, const v1::ListRefusedReportsRequest& request,
                                  v1::ListRefusedReportsResponse* response);
  absl::Status SetTags(const rpc::Call& call, const v1::SetTagsRequest& request,
                       v1::SetTagsResponse* response);

  // What the three orders have in common.
  template <typename Request>
  absl::Status Order(const rpc::Call& call, const Request& request, Orders::Rule rule,
                     v1::Component* response);

  const Parts parts_;
};

}  // namespace countersign::inventory

#endif  // COUNTERSIGN_SERVICES_INVENTORY_API_FLEET_HANDLERS_H_
