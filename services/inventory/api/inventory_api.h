#ifndef COUNTERSIGN_SERVICES_INVENTORY_API_INVENTORY_API_H_
#define COUNTERSIGN_SERVICES_INVENTORY_API_INVENTORY_API_H_

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock/clock.h"
#include "common/db/database.h"
#include "common/feed/tail.h"
#include "common/metrics/metrics.h"
#include "common/rpc/executor.h"
#include "common/rpc/handler.h"
#include "countersign/inventory/v1/inventory.pb.h"
#include "services/inventory/api/fleet_handlers.h"
#include "services/inventory/api/query_api.h"
#include "services/inventory/clients/appid_registry_client.h"
#include "services/inventory/storage/fleet_import.h"
#include "services/inventory/storage/fleet_queries.h"
#include "services/inventory/storage/gateway_keys.h"
#include "services/inventory/domain/challenge.h"
#include "services/inventory/storage/inventory_store.h"
#include "services/inventory/storage/manifest_writer.h"

namespace countersign::inventory {

// countersign.inventory.v1.InventoryService. What it is given must outlive it, and it must outlive the server
// that it is bound to.
class InventoryApi {
 public:
  struct Parts {
    db::Database& database;
    InventoryStore& store;
    FleetQueries& queries;
    GatewayKeyCache& keys;
    ManifestWriter& writer;
    AppIdRegistryClient& app_id_registry;
    feed::Tail& tail;
    metrics::Registry& registry;
    const Clock& clock;
    const domain::Challenges& challenges;
    int verify_threads;
    FleetHandlers& fleet;
    // How often a gateway is to report, on average, and bytes of manifests that are dealt with at once.
    absl::Duration report_interval;
    int64_t max_ingest_bytes;
    // Uniform in [0, 1). Thread-safe.
    std::function<double()> random;
  };

  explicit InventoryApi(const Parts& parts);

  std::unique_ptr<rpc::Service> Bind();

 private:
  absl::Status CreateGateway(const rpc::Call& call, const v1::CreateGatewayRequest& request,
                             v1::Gateway* response);
  absl::Status GetGateway(const rpc::Call& call, const v1::GetGatewayRequest& request, v1::Gateway* response);
  absl::Status CreateDevice(const rpc::Call& call, const v1::CreateDeviceRequest& request,
                            v1::Device* response);
  absl::Status GetDevice(const rpc::Call& call, const v1::GetDeviceRequest& request, v1::Device* response);
  absl::Status CreateChallenge(const rpc::Call& call, const v1::CreateChallengeRequest& request,
                               v1::CreateChallengeResponse* response);
  void SubmitManifest(const rpc::Call& call, const v1::SubmitManifestRequest& request,
                      v1::SubmitManifestResponse* response, rpc::Done done);
  absl::StatusOr<std::unique_ptr<rpc::Consumer<v1::ImportFleetRequest, v1::ImportFleetResponse>>> ImportFleet(
      const rpc::Call& call);
  absl::StatusOr<std::unique_ptr<rpc::Producer<v1::WatchComponentsResponse>>> WatchComponents(
      const rpc::Call& call, const v1::WatchComponentsRequest& request, rpc::Waker waker);

  struct Readied;
  absl::StatusOr<Readied> ReadyManifest(const rpc::Call& call, const v1::SubmitManifestRequest& request);
  void CountOutcome(const ReportOutcome& outcome) const;
  absl::Status NoRoom(absl::Status status) const;

  Parts parts_;
  QueryApi queries_;
  FleetImport import_;
  metrics::Counter accepted_;
  std::map<std::string, metrics::Counter> refused_;  // by reason
  const metrics::Counter turned_away_;
  std::atomic<int64_t> ingest_bytes_ = 0;
  rpc::Executor verify_pool_;  // last: its tasks use the others
};

}  // namespace countersign::inventory

#endif  // COUNTERSIGN_SERVICES_INVENTORY_API_INVENTORY_API_H_
