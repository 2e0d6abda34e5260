#ifndef COUNTERSIGN_SERVICES_ROLLOUT_TESTING_WORLD_H_
#define COUNTERSIGN_SERVICES_ROLLOUT_TESTING_WORLD_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/clock/clock.h"
#include "common/crypto/signer.h"
#include "common/db/database.h"
#include "common/metrics/metrics.h"
#include "common/rpc/channel.h"
#include "common/rpc/status_grpc.h"
#include "common/rpc/testing/test_server.h"
#include "common/trust/client.h"
#include "common/trust/metadata.h"
#include "countersign/common/v1/update.pb.h"
#include "countersign/consent/v1/consent.grpc.pb.h"
#include "countersign/inventory/v1/inventory.grpc.pb.h"
#include "countersign/liaison/v1/liaison.grpc.pb.h"
#include "countersign/rollout/v1/rollout.grpc.pb.h"
#include "services/consent/app.h"
#include "services/inventory/app.h"
#include "services/liaison/app.h"
#include "services/package_store/testing/publisher.h"
#include "services/rollout/app.h"
#include "services/rollout/storage/director_store.h"
#include "services/rollout/storage/rollout_store.h"

// For tests: the rollout service with the real services that it asks, and homes whose devices report to them.
// What cannot fail in a test aborts when it does.
namespace countersign::rollout::testing {

using Stub = v1::RolloutService::Stub;

inline const rpc::Identity kOperator{rpc::Role::kOperator, "alice"};

inline rpc::Identity Gateway(const std::string& id) { return {rpc::Role::kGateway, id}; }

template <typename AnyStub, typename Request, typename Response>
absl::StatusOr<Response> Call(AnyStub& stub,
                              grpc::Status (AnyStub::*method)(grpc::ClientContext*, const Request&,
                                                              Response*),
                              const Request& request) {
  rpc::CallContext context(absl::Seconds(30));
  Response response;
  const absl::Status status = rpc::FromGrpc((stub.*method)(context.get(), request, &response));
  if (!status.ok()) return status;
  return response;
}

// Asks until the answer is yes, for what other threads bring about; false after a minute.
bool Eventually(const std::function<bool()>& condition);

// A component with its key, behind a gateway: what a device process would be.
struct Ecu {
  std::string serial;
  std::string hardware_id = "t1-a";
  bool constrained = false;  // its reports are signed by its gateway's proxy key
  std::string path;          // of the installed image
  std::string content = "factory";
  std::string version = "1.0.0";
  int64_t release_counter = 1;
  int64_t report_counter = 0;
  bool stopped = false;  // it carries out an order to stop
  std::shared_ptr<const crypto::Signer> key;
};

// A gateway with its components.
struct Home {
  std::string id;
  std::shared_ptr<const crypto::Signer> key;
  std::shared_ptr<const crypto::Signer> proxy_key;
  int64_t manifest_counter = 0;
  std::map<std::string, Ecu> ecus;
};

// One process of the service.
class Replica {
 public:
  explicit Replica(Config config);

  std::unique_ptr<Stub> As(const rpc::Identity& identity, rpc::testing::TestPki& pki) const;
  std::string http(absl::string_view path) const;
  App& app() { return *app_; }

 private:
  metrics::Registry registry_;
  std::unique_ptr<App> app_;
};

class World {
 public:
  World();
  ~World();

  // The configuration of a replica; addresses of liaison and consent lead nowhere until they are set.
  Config& config() { return config_; }
  // The first replica, started when first asked for.
  Replica& replica();
  // Ends it, so that replica() starts another one on the same database.
  void Kill() { replica_.reset(); }
  std::unique_ptr<Replica> AnotherReplica() { return std::make_unique<Replica>(config_); }
  std::unique_ptr<Stub> As(const rpc::Identity& identity) { return replica().As(identity, pki); }

  // The Director's root of this version, signed by the offline key and, for later ones, by the one before.
  std::string DirectorRoot(int64_t version = 1);
  // Publishes the first one.
  void PublishDirectorRoot();

  // Starts the real consent service, for replicas that are started afterwards.
  void StartConsent();
  std::unique_ptr<consent::v1::ConsentService::Stub> ConsentAs(const rpc::Identity& identity);

  std::unique_ptr<inventory::v1::InventoryService::Stub> InventoryAs(const rpc::Identity& identity);
  // A further replica of the inventory, which follows the rollout service.
  void StartFollowingInventory();

  // The same of liaison, with acme as a manufacturer that pushes.
  void StartLiaison();
  // Acme announces `image`, which must be in the package store. Returns the release's name.
  absl::StatusOr<std::string> Announce(const package_store::testing::ImageSpec& image);

  // A home with one thermostat for each serial, provisioned in the inventory, that has reported once.
  Home& AddHome(const std::string& id, const std::vector<std::string>& serials);
  // All of the home's reports, signed. `break_proofs` signs them with a wrong key.
  absl::Status Report(Home& home, bool break_proofs = false);
  // The component now runs the release's image.
  static void Install(Ecu& ecu, const package_store::testing::ImageSpec& image);

  // An image that acme and the authority have signed, and the release that announces it.
  package_store::testing::ImageSpec PublishImage(int counter);
  static package_store::testing::ImageSpec Image(int counter);
  static common::v1::ReleaseInfo InfoOf(const package_store::testing::ImageSpec& image);
  static Release ReleaseOf(const package_store::testing::ImageSpec& image);

  // A grant as the consent service would sign it.
  std::string ConsentFor(const Assignment& assignment, const Release& release, absl::Duration validity);

  // The targets of the gateway's Director repository, as a TUF client verifies them.
  absl::StatusOr<trust::Targets> DirectorTargets(const std::string& gateway);

  rpc::testing::TestPki pki;
  package_store::testing::Publisher publisher;
  package_store::testing::TestStore store;
  std::map<std::string, Home> homes;
  crypto::PemSigner director_root_key;
  crypto::PemSigner director_targets_key;
  crypto::PemSigner director_snapshot_key;
  crypto::PemSigner director_timestamp_key;
  crypto::PemSigner consent_key;

  // Direct access to the service's database, as its workers have.
  db::Database& database() { return *database_; }
  RolloutStore& rollouts() { return *rollouts_; }
  DirectorStore& directors() { return *directors_; }

 private:
  std::string Write(const std::string& name, const std::string& content);

  metrics::Registry inventory_registry_;
  std::unique_ptr<inventory::App> inventory_;
  inventory::Config inventory_config_;
  metrics::Registry following_registry_;
  std::unique_ptr<inventory::App> following_inventory_;
  metrics::Registry consent_registry_;
  std::unique_ptr<consent::App> consent_;
  metrics::Registry liaison_registry_;
  std::unique_ptr<liaison::App> liaison_;
  std::shared_ptr<grpc::Channel> Dial(const std::string& service, int port, const rpc::Identity& as);
  Config config_;
  std::unique_ptr<db::Database> database_;
  std::unique_ptr<RolloutStore> rollouts_;
  std::unique_ptr<DirectorStore> directors_;
  std::unique_ptr<Replica> replica_;
  std::map<std::string, std::unique_ptr<trust::MemoryStore>> trusted_;
};

}  // namespace countersign::rollout::testing

#endif  // COUNTERSIGN_SERVICES_ROLLOUT_TESTING_WORLD_H_
