#include "services/liaison/app.h"

#include <deque>
#include <optional>
#include <utility>

#include "common/db/database.h"
#include "common/db/migrations.h"
#include "common/db/request_ids.h"
#include "common/db/request_ids_migrations.h"
#include "common/rpc/channel.h"
#include "common/status/macros.h"
#include "common/worker/periodic.h"
#include "services/liaison/api/liaison_api.h"
#include "services/liaison/clients/call_group.h"
#include "services/liaison/clients/package_store_client.h"
#include "services/liaison/storage/liaison_migrations.h"
#include "services/liaison/storage/liaison_store.h"
#include "services/liaison/workers/refresher.h"

namespace countersign::liaison {
namespace {

// Backends that are asked at once, so that one that takes its time does not keep the others waiting.
constexpr int kRefreshers = 4;
// The workers use connections beside the executor's threads: each refresher another one for its lease.
constexpr int kOwnConnections = 2 + 2 * kRefreshers;

constexpr absl::Duration kHousekeepingInterval = absl::Minutes(10);
// Longer than anybody tries a request again.
constexpr absl::Duration kRequestIdAge = absl::Hours(7 * 24);

db::Options DatabaseOptions(const Config& config) {
  db::Options options;
  options.conninfo = config.database;
  options.max_connections = config.server.threads + kOwnConnections;
  return options;
}

}  // namespace

// In the order of construction; the server goes first and has no call left when the others go.
struct App::Parts {
  explicit Parts(const Config& config)
      : database(DatabaseOptions(config)),
        dialer(config.server.tls),
        store(database),
        package_store(dialer, calls, config.package_store_address),
        api({store, package_store, *config.clock}),
        server(config.server),
        refresher({store, package_store, dialer, calls, server.registry(), *config.clock,
                   config.refresh_interval, config.stall_window}),
        messenger({store, dialer, calls, *config.clock, config.notice_retry}) {}

  db::Database database;
  rpc::Dialer dialer;
  CallGroup calls;  // of the workers
  LiaisonStore store;
  PackageStoreClient package_store;
  LiaisonApi api;
  rpc::Server server;
  Refresher refresher;
  Messenger messenger;
  std::deque<Periodic> refresher_threads;
  std::optional<Periodic> messenger_thread;
  std::optional<Periodic> housekeeping_thread;
};

App::App(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

App::~App() { Stop(); }

absl::StatusOr<std::unique_ptr<App>> App::Build(const Config& config) {
  auto parts = std::make_unique<Parts>(config);
  RETURN_IF_ERROR(db::MigrateWhenReady(parts->database, {db::RequestIdsMigrations(), LiaisonMigrations()},
                                       config.database_wait));
  parts->server.AddService(parts->api.Bind());
  parts->server.AddReadinessCheck("database", [&database = parts->database] { return database.Ping(); });
  for (int i = 0; i < kRefreshers; ++i) {
    parts->refresher_threads.emplace_back("refresher", config.poll_interval,
                                          [&refresher = parts->refresher] { return refresher.Round(); });
  }
  parts->messenger_thread.emplace("messenger", config.poll_interval,
                                  [&messenger = parts->messenger] { return messenger.Round(); });
  parts->housekeeping_thread.emplace(
      "housekeeping", kHousekeepingInterval, [&database = parts->database, &clock = *config.clock] {
        return db::PurgeRequestIds(database, clock.Now() - kRequestIdAge).status();
      });
  return std::unique_ptr<App>(new App(std::move(parts)));
}

absl::StatusOr<std::unique_ptr<App>> App::Start(const Config& config) {
  ASSIGN_OR_RETURN(std::unique_ptr<App> app, Build(config));
  RETURN_IF_ERROR(app->parts_->server.Start());
  return app;
}

absl::Status App::RunUntilSignal(const Config& config) {
  ASSIGN_OR_RETURN(const std::unique_ptr<App> app, Build(config));
  return app->parts_->server.RunUntilSignal();
}

int App::grpc_port() const { return parts_->server.grpc_port(); }
int App::http_port() const { return parts_->server.http_port(); }

void App::Stop() {
  parts_->server.Drain();
  parts_->calls.Cancel();
  parts_->refresher_threads.clear();
  parts_->messenger_thread.reset();
  parts_->housekeeping_thread.reset();
}

}  // namespace countersign::liaison
