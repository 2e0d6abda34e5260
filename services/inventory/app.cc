#include "services/inventory/app.h"

#include <algorithm>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/random/random.h"
#include "absl/strings/str_split.h"
#include "common/db/database.h"
#include "common/db/migrations.h"
#include "common/db/request_ids_migrations.h"
#include "common/feed/follower.h"
#include "common/feed/follower_migrations.h"
#include "common/feed/outbox_migrations.h"
#include "common/feed/tail.h"
#include "common/rpc/channel.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "services/inventory/api/convert.h"
#include "services/inventory/api/fleet_handlers.h"
#include "services/inventory/api/inventory_api.h"
#include "services/inventory/clients/appid_registry_client.h"
#include "services/inventory/clients/package_store_client.h"
#include "services/inventory/clients/rollout_client.h"
#include "services/inventory/domain/challenge.h"
#include "services/inventory/domain/image_verdict.h"
#include "services/inventory/storage/challenge_key.h"
#include "services/inventory/storage/fleet_queries.h"
#include "services/inventory/storage/gateway_keys.h"
#include "services/inventory/storage/history.h"
#include "services/inventory/storage/inventory_migrations.h"
#include "services/inventory/storage/inventory_store.h"
#include "services/inventory/storage/manifest_writer.h"
#include "services/inventory/storage/orders.h"
#include "services/inventory/storage/pending_devices.h"
#include "services/inventory/storage/published_images.h"
#include "services/inventory/workers/followers.h"
#include "services/inventory/workers/housekeeping.h"
#include "services/inventory/workers/integrity.h"

namespace countersign::inventory {
namespace {

constexpr absl::Duration kDatabasePatience = absl::Minutes(1);

db::Options DatabaseOptions(const Config& config) {
  db::Options options;
  options.conninfo = config.database;
  options.max_connections = config.database_connections;
  return options;
}

metrics::Registry& RegistryOf(const Config& config) {
  return config.server.registry == nullptr ? metrics::Registry::Default() : *config.server.registry;
}

std::string Encode(const domain::Component& component) { return ToProto(component).SerializeAsString(); }

double Random() {
  thread_local absl::BitGen generator;
  return absl::Uniform(generator, 0.0, 1.0);
}

}  // namespace

// In the order of construction; the server goes first and has no call left when the others go.
struct App::Parts {
  Parts(const Config& config, domain::QuarantinePolicy policy, std::string challenge_key)
      : database(DatabaseOptions(config)),
        challenges(std::move(challenge_key), absl::Seconds(config.challenge_seconds)),
        store(database),
        queries(database),
        keys(database, static_cast<size_t>(config.cached_keys)),
        tail(database),
        modified(RegistryOf(config).AddCounter("countersign_inventory_components_modified_total",
                                               "Components that became MODIFIED, by reason.", {"reason"})),
        incidents(RegistryOf(config)
                      .AddCounter("countersign_inventory_gateway_incidents_total",
                                  "Incidents that gateways noticed and told of in their manifests.", {})
                      .With({})),
        orders(database, Encode),
        pending(database),
        history(database),
        images(database, {.unknown_is_modified = config.unknown_images == "modified",
                          .encode = Encode,
                          .on_change = [this] { tail.Nudge(); },
                          .on_modified = [this](const std::string& reason) { CountModified(reason); }}),
        writer(database, {.encode = Encode,
                          .compare_images = !config.package_store_address.empty(),
                          .unknown_is_modified = config.unknown_images == "modified",
                          .on_change = [this] { tail.Nudge(); },
                          .on_modified = [this](const std::string& reason) { CountModified(reason); },
                          .on_incidents = [this](int count) { incidents.Increment(count); }}),
        dialer(config.server.tls),
        app_id_registry(dialer, config.appid_registry_address),
        fleet({.store = store,
               .orders = orders,
               .pending = pending,
               .history = history,
               .app_id_registry = app_id_registry,
               .tail = tail,
               .clock = *config.clock}),
        api({.database = database,
             .store = store,
             .queries = queries,
             .keys = keys,
             .writer = writer,
             .app_id_registry = app_id_registry,
             .tail = tail,
             .registry = RegistryOf(config),
             .clock = *config.clock,
             .challenges = challenges,
             .verify_threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency())),
             .fleet = fleet,
             .report_interval = absl::Seconds(config.report_interval_seconds),
             .max_ingest_bytes = int64_t{config.max_ingest_mib} << 20,
             .random = Random}),
        housekeeping(database, store, RegistryOf(config),
                     {.change_retention = absl::Hours(config.change_retention_hours),
                      .refused_report_retention = absl::Hours(config.refused_report_retention_hours),
                      .history_retention_months = config.history_retention_months,
                      .quarantine_patience = absl::Seconds(config.quarantine_confirm_seconds),
                      .clock = config.clock}),
        integrity(images, std::move(policy), *config.clock),
        server(config.server) {
    for (const char* reason : domain::kModifiedReasons)
      modified.With({reason});  // so that a rate has a zero before
    Follow(config);
    server.AddService(api.Bind());
    server.AddReadinessCheck("database", [this] { return database.Ping(); });
  }

  void CountModified(const std::string& reason) {
    modified.With({reason}).Increment();
    integrity.Nudge();  // the policy may say something
  }

  // Each follower is as good without the other service: it goes on when that is there.
  void Follow(const Config& config) {
    metrics::Registry& registry = RegistryOf(config);
    if (!config.package_store_address.empty()) {
      package_store.emplace(dialer, config.package_store_address);
      packages.emplace(database,
                       PackageFollower(images, *package_store, registry, [this] { integrity.Nudge(); }));
    }
    if (!config.rollout_address.empty()) {
      rollout.emplace(dialer, config.rollout_address);
      failures.emplace(database, FailureFollower(orders, *rollout, registry, [this] { tail.Nudge(); }));
    }
  }

  db::Database database;
  const domain::Challenges challenges;
  InventoryStore store;
  FleetQueries queries;
  GatewayKeyCache keys;
  feed::Tail tail;
  const metrics::CounterFamily modified;
  const metrics::Counter incidents;
  Orders orders;
  PendingDevices pending;
  History history;
  PublishedImages images;
  ManifestWriter writer;
  rpc::Dialer dialer;
  AppIdRegistryClient app_id_registry;
  FleetHandlers fleet;
  InventoryApi api;
  Housekeeping housekeeping;
  Integrity integrity;
  std::optional<PackageStoreClient> package_store;
  std::optional<RolloutClient> rollout;
  std::optional<feed::Follower> packages, failures;
  rpc::Server server;
};

absl::StatusOr<std::unique_ptr<App::Parts>> App::Make(const Config& config) {
  const std::vector<std::string> patterns =
      absl::StrSplit(config.quarantine_modified, ',', absl::SkipEmpty());
  absl::StatusOr<domain::QuarantinePolicy> policy = domain::QuarantinePolicy::Parse(patterns);
  if (!policy.ok()) return Annotate(policy.status(), "--quarantine-modified");
  std::string challenge_key;
  {
    db::Database database(DatabaseOptions(config));
    RETURN_IF_ERROR(db::MigrateWhenReady(database,
                                         {db::RequestIdsMigrations(), feed::OutboxMigrations(),
                                          feed::FollowerMigrations(), InventoryMigrations()},
                                         kDatabasePatience));
    // Before anybody reports: a partition is not made under its rows.
    RETURN_IF_ERROR(History(database).MakePartitions(config.clock->Now(), History::kMonthsAhead).status());
    ASSIGN_OR_RETURN(challenge_key, SharedChallengeKey(database));
  }
  return std::make_unique<Parts>(config, *std::move(policy), std::move(challenge_key));
}

App::App(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

App::~App() { Stop(); }

absl::StatusOr<std::unique_ptr<App>> App::Start(const Config& config) {
  ASSIGN_OR_RETURN(std::unique_ptr<Parts> parts, Make(config));
  RETURN_IF_ERROR(parts->server.Start());
  return std::unique_ptr<App>(new App(std::move(parts)));
}

absl::Status App::RunUntilSignal(const Config& config) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Parts> parts, Make(config));
  return parts->server.RunUntilSignal();
}

int App::grpc_port() const { return parts_->server.grpc_port(); }

int App::http_port() const { return parts_->server.http_port(); }

void App::Stop() { parts_->server.Drain(); }

}  // namespace countersign::inventory
