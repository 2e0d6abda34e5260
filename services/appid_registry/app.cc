#include "services/appid_registry/app.h"

#include <utility>

#include "common/crypto/open_signer.h"
#include "common/crypto/signer.h"
#include "common/db/database.h"
#include "common/db/migrations.h"
#include "common/db/request_ids_migrations.h"
#include "common/rpc/key_watch.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "services/appid_registry/api/appid_registry_api.h"
#include "services/appid_registry/domain/authorities.h"
#include "services/appid_registry/storage/profile_migrations.h"
#include "services/appid_registry/storage/profile_store.h"
#include "services/appid_registry/storage/registrant_store.h"
#include "services/appid_registry/workers/housekeeping.h"

namespace countersign::appid_registry {
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
  Parts(const Config& config, std::shared_ptr<const crypto::Signer> answer_key,
        domain::Authorities registrars_authorities)
      : signer(std::move(answer_key)),
        authorities(std::move(registrars_authorities)),
        database(DatabaseOptions(config)),
        store(database),
        registrants(database),
        api({.store = store,
             .registrants = registrants,
             .authorities = authorities,
             .signer = *signer,
             .registry = RegistryOf(config),
             .clock = *config.clock,
             .answer_validity = absl::Hours(config.answer_validity_hours),
             .require_terms = config.require_terms,
             .lookup_threads = config.database_connections}),
        housekeeping(database, {.clock = config.clock}),
        server(config.server),
        key_watch(server, {{"answer", signer}}) {
    server.AddService(api.Bind());
    server.AddReadinessCheck("database", [this] { return database.Ping(); });
  }

  const std::shared_ptr<const crypto::Signer> signer;
  const domain::Authorities authorities;
  db::Database database;
  ProfileStore store;
  RegistrantStore registrants;
  AppIdRegistryApi api;
  Housekeeping housekeeping;
  rpc::Server server;
  rpc::KeyWatch key_watch;
};

absl::StatusOr<std::unique_ptr<App::Parts>> App::Make(const Config& config) {
  absl::StatusOr<std::unique_ptr<crypto::Signer>> signer = crypto::OpenSigner(config.answer_key);
  if (!signer.ok()) return Annotate(signer.status(), "--answer-key");
  absl::StatusOr<domain::Authorities> authorities = domain::Authorities::Parse(config.authorities);
  if (!authorities.ok()) return Annotate(authorities.status(), "--authorities");
  {
    db::Database database(DatabaseOptions(config));
    RETURN_IF_ERROR(
        db::MigrateWhenReady(database, {db::RequestIdsMigrations(), ProfileMigrations()}, kDatabasePatience));
  }
  return std::make_unique<Parts>(config, *std::move(signer), *std::move(authorities));
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

}  // namespace countersign::appid_registry
