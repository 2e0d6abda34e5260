#include "services/inventory/app.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "common/db/database.h"
#include "common/db/migrations.h"
#include "common/db/request_ids_migrations.h"
#include "common/feed/outbox_migrations.h"
#include "common/feed/tail.h"
#include "common/rpc/channel.h"
#include "common/status/macros.h"
#include "services/inventory/api/convert.h"
#include "services/inventory/api/inventory_api.h"
#include "services/inventory/clients/appid_registry_client.h"
#include "services/inventory/storage/fleet_queries.h"
#include "services/inventory/storage/gateway_keys.h"
#include "services/inventory/storage/inventory_migrations.h"
#include "services/inventory/storage/inventory_store.h"
#include "services/inventory/storage/manifest_writer.h"
#include "services/inventory/workers/housekeeping.h"

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

}  // namespace

// In the order of construction; the server goes first and has no call left when the others go.
struct App::Parts {
  explicit Parts(const Config& config)
      : database(DatabaseOptions(config)),
        store(database),
        queries(database),
        keys(database, static_cast<size_t>(config.cached_keys)),
        tail(database),
        writer(database,
               {.encode =
                    [](const domain::Component& component) { return ToProto(component).SerializeAsString(); },
                .on_change = [this] { tail.Nudge(); }}),
        dialer(config.server.tls),
        app_id_registry(dialer, config.appid_registry_address),
        api({.database = database,
             .store = store,
             .queries = queries,
             .keys = keys,
             .writer = writer,
             .app_id_registry = app_id_registry,
             .tail = tail,
             .registry = RegistryOf(config),
             .clock = *config.clock,
             .challenge_validity = absl::Seconds(config.challenge_seconds),
             .verify_threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()))}),
        housekeeping(database, store, RegistryOf(config),
                     {.change_retention = absl::Hours(config.change_retention_hours),
                      .refused_report_retention = absl::Hours(config.refused_report_retention_hours),
                      .clock = config.clock}),
        server(config.server) {
    server.AddService(api.Bind());
    server.AddReadinessCheck("database", [this] { return database.Ping(); });
  }

  db::Database database;
  InventoryStore store;
  FleetQueries queries;
  GatewayKeyCache keys;
  feed::Tail tail;
  ManifestWriter writer;
  rpc::Dialer dialer;
  AppIdRegistryClient app_id_registry;
  InventoryApi api;
  Housekeeping housekeeping;
  rpc::Server server;
};

absl::StatusOr<std::unique_ptr<App::Parts>> App::Make(const Config& config) {
  {
    db::Database database(DatabaseOptions(config));
    RETURN_IF_ERROR(db::MigrateWhenReady(
        database, {db::RequestIdsMigrations(), feed::OutboxMigrations(), InventoryMigrations()},
        kDatabasePatience));
  }
  return std::make_unique<Parts>(config);
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
