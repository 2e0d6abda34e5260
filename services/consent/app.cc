#include "services/consent/app.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "common/crypto/open_signer.h"
#include "common/crypto/signer.h"
#include "common/db/database.h"
#include "common/db/migrations.h"
#include "common/db/request_ids_migrations.h"
#include "common/feed/outbox_migrations.h"
#include "common/feed/tail.h"
#include "common/metrics/metrics.h"
#include "common/rpc/key_watch.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "services/consent/api/consent_api.h"
#include "services/consent/api/convert.h"
#include "services/consent/storage/consent_migrations.h"
#include "services/consent/storage/consent_store.h"
#include "services/consent/workers/housekeeping.h"

namespace countersign::consent {
namespace {

constexpr absl::Duration kDatabasePatience = absl::Minutes(1);

db::Options DatabaseOptions(const Config& config) {
  db::Options options;
  options.conninfo = config.database;
  options.max_connections = config.database_connections;
  return options;
}

metrics::CounterFamily DecisionCounter(const Config& config) {
  metrics::Registry& registry =
      config.server.registry == nullptr ? metrics::Registry::Default() : *config.server.registry;
  metrics::CounterFamily family =
      registry.AddCounter("countersign_consent_decisions_total", "Decisions recorded.", {"decision"});
  // A dashboard shows a zero before the first decision, and not nothing.
  for (const QuestionState state : {QuestionState::kGranted, QuestionState::kDenied, QuestionState::kDeferred,
                                    QuestionState::kWithdrawn, QuestionState::kExpired}) {
    family.With({absl::AsciiStrToLower(StateName(state))});
  }
  return family;
}

Rules RulesOf(const Config& config) {
  return {.grant_validity = absl::Hours(config.grant_hours),
          .prompt_validity = absl::Hours(config.prompt_hours),
          .deferral_limits = {.low = absl::Hours(config.defer_low_hours),
                              .medium = absl::Hours(config.defer_medium_hours),
                              .high = absl::Hours(config.defer_high_hours),
                              .critical = absl::Hours(config.defer_critical_hours)}};
}

}  // namespace

// In the order of construction; the server goes first and has no call left when the others go.
struct App::Parts {
  Parts(const Config& config, std::shared_ptr<const crypto::Signer> record_key)
      : database(DatabaseOptions(config)),
        decisions(DecisionCounter(config)),
        store(database, Recorder(record_key),
              {.rules = RulesOf(config),
               .encode = [](const AskedQuestion& asked) { return RecordToProto(asked).SerializeAsString(); },
               .on_decision =
                   [this](QuestionState state) {
                     decisions.With({absl::AsciiStrToLower(StateName(state))}).Increment();
                   }}),
        tail(database),
        api({.database = database, .store = store, .tail = tail, .clock = *config.clock}),
        housekeeping(database, store, tail,
                     {.interval = config.housekeeping_interval,
                      .event_retention = absl::Hours(config.event_retention_hours),
                      .clock = config.clock}),
        server(config.server),
        key_watch(server, {{"record", record_key}}) {
    server.AddService(api.Bind());
    server.AddReadinessCheck("database", [this] { return database.Ping(); });
  }

  db::Database database;
  metrics::CounterFamily decisions;
  ConsentStore store;
  feed::Tail tail;
  ConsentApi api;
  Housekeeping housekeeping;
  rpc::Server server;
  rpc::KeyWatch key_watch;
};

absl::StatusOr<std::unique_ptr<App::Parts>> App::Make(const Config& config) {
  absl::StatusOr<std::unique_ptr<crypto::Signer>> record_key = crypto::OpenSigner(config.record_key);
  if (!record_key.ok()) return Annotate(record_key.status(), "--record-key");
  {
    db::Database database(DatabaseOptions(config));
    RETURN_IF_ERROR(db::MigrateWhenReady(
        database, {db::RequestIdsMigrations(), feed::OutboxMigrations(), ConsentMigrations()},
        kDatabasePatience));
  }
  return std::make_unique<Parts>(config, *std::move(record_key));
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

}  // namespace countersign::consent
