#include "services/rollout/app.h"

#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "common/crypto/open_signer.h"
#include "common/crypto/public_key.h"
#include "common/crypto/signer.h"
#include "common/db/database.h"
#include "common/db/migrations.h"
#include "common/db/request_ids_migrations.h"
#include "common/feed/follower.h"
#include "common/feed/follower_migrations.h"
#include "common/feed/outbox_migrations.h"
#include "common/feed/tail.h"
#include "common/file/file.h"
#include "common/rpc/channel.h"
#include "common/rpc/key_watch.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "services/rollout/api/convert.h"
#include "services/rollout/api/director.h"
#include "services/rollout/api/hint_hub.h"
#include "services/rollout/api/rollout_api.h"
#include "services/rollout/clients/consent_client.h"
#include "services/rollout/clients/image_repository.h"
#include "services/rollout/clients/inventory_client.h"
#include "services/rollout/clients/liaison_client.h"
#include "services/rollout/clients/package_store_client.h"
#include "services/rollout/domain/director_signer.h"
#include "services/rollout/storage/bundles.h"
#include "services/rollout/storage/director_store.h"
#include "services/rollout/storage/ended_packages.h"
#include "services/rollout/storage/rollout_migrations.h"
#include "services/rollout/storage/rollout_store.h"
#include "services/rollout/workers/conductor.h"
#include "services/rollout/workers/consent_asker.h"
#include "services/rollout/workers/followers.h"
#include "services/rollout/workers/hint_fanout.h"
#include "services/rollout/workers/housekeeping.h"
#include "services/rollout/workers/loop.h"
#include "services/rollout/workers/planner.h"

namespace countersign::rollout {
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

// What the files of the configuration hold.
struct Keys {
  DirectorSigner::Keys director;
  crypto::PublicKey consent;
  std::string image_root;
};

absl::StatusOr<std::shared_ptr<const crypto::Signer>> OpenKey(const std::string& spec,
                                                              absl::string_view flag) {
  absl::StatusOr<std::unique_ptr<crypto::Signer>> signer = crypto::OpenSigner(spec);
  if (!signer.ok()) return Annotate(signer.status(), flag);
  return *std::move(signer);
}

absl::StatusOr<Keys> LoadKeys(const Config& config) {
  DirectorSigner::Keys director;
  ASSIGN_OR_RETURN(director.targets, OpenKey(config.director_targets_key, "--director-targets-key"));
  ASSIGN_OR_RETURN(director.snapshot, OpenKey(config.director_snapshot_key, "--director-snapshot-key"));
  ASSIGN_OR_RETURN(director.timestamp, OpenKey(config.director_timestamp_key, "--director-timestamp-key"));
  const absl::StatusOr<std::string> pem = ReadFile(config.consent_public_key);
  if (!pem.ok()) return Annotate(pem.status(), "--consent-public-key");
  absl::StatusOr<crypto::PublicKey> consent = crypto::PublicKey::FromPem(*pem);
  if (!consent.ok()) return Annotate(consent.status(), "--consent-public-key");
  absl::StatusOr<std::string> image_root = ReadFile(config.image_root);
  if (!image_root.ok()) return Annotate(image_root.status(), "--image-root");
  return Keys{std::move(director), *std::move(consent), *std::move(image_root)};
}

}  // namespace

// In the order of construction. Workers and server are started last and stop first.
struct App::Parts {
  Parts(const Config& given, Keys keys)
      : config(given),
        registry(RegistryOf(config)),
        ended(registry.AddCounter("countersign_rollout_assignments_ended_total",
                                  "Assignments that came to an end, by phase and failure reason.",
                                  {"phase", "reason"})),
        database(DatabaseOptions(config)),
        store(database, *config.clock,
              [this](const Ended& end) {
                ended.With({PhaseName(end.state), FailureReasonName(end.failure_reason)}).Increment();
              }),
        ended_packages(
            database, *config.clock,
            [this](const Ended& end) {
              ended.With({PhaseName(end.state), FailureReasonName(end.failure_reason)}).Increment();
            }),
        bundles(database, *config.clock,
                [this](const Ended& end) {
                  ended.With({PhaseName(end.state), FailureReasonName(end.failure_reason)}).Increment();
                }),
        director_store(database, store),
        trusted_store(database),
        dialer(config.server.tls),
        inventory(dialer, config.inventory_address),
        liaison(dialer, config.liaison_address),
        package_store(dialer, config.package_store_address),
        consent(dialer, config.consent_address, keys.consent),
        images(
            package_store, [this](const std::string& path) { return package_store.GetLogged(path); },
            trusted_store, std::move(keys.image_root), *config.clock),
        signer(keys.director, std::move(keys.consent),
               [this](absl::string_view path) { return FindApproved(path); }),
        director(director_store, store, signer, *config.clock, registry),
        planner(store, inventory, config.planning_lease),
        asker(store, consent),
        conductor(store, ended_packages, bundles),
        fanout(database, hints),
        tail(database),
        housekeeping(database, store, hints, registry, {.clock = config.clock}),
        api({.database = database,
             .tail = tail,
             .store = store,
             .director_store = director_store,
             .director = director,
             .hints = hints,
             .liaison = liaison,
             .package_store = package_store,
             .inventory = inventory,
             .clock = *config.clock,
             .next_check_in = absl::Seconds(config.next_check_in_seconds),
             .download_troubles = registry.AddCounter(
                 "countersign_rollout_download_troubles_total",
                 "Troubles that gateways told of while they download, by failure reason.", {"reason"}),
             .on_change = [this] { Nudge(); }}),
        server(config.server),
        key_watch(server, {{"director-targets", keys.director.targets},
                           {"director-snapshot", keys.director.snapshot},
                           {"director-timestamp", keys.director.timestamp}}) {
    server.AddService(api.Bind());
    server.AddReadinessCheck("database", [this] { return database.Ping(); });
  }

  ~Parts() { Stop(); }

  void StartWorkers() {
    const auto loop = [](std::optional<Loop>& place, const std::string& name, absl::Duration interval,
                         auto& worker) {
      place.emplace(name, interval, [&worker](std::stop_token stop) { return worker.Round(stop); });
    };
    absl::MutexLock lock(&mutex);
    loop(planner_loop, "planner", config.poll_interval, planner);
    loop(asker_loop, "consent", config.poll_interval, asker);
    loop(conductor_loop, "conductor", config.poll_interval, conductor);
    loop(fanout_loop, "hints", config.hint_interval, fanout);
    loop(housekeeping_loop, "housekeeping", config.metrics_interval, housekeeping);
    decisions.emplace(database, DecisionFollower(store, consent, asker, registry, [this] { Nudge(); }));
    packages.emplace(database, PackageFollower(ended_packages, package_store, registry, [this] { Nudge(); }));
    components.emplace(database, ComponentFollower(store, inventory, registry, [this] { Nudge(); }));
  }

  // What another replica has heard of counts at once.
  absl::StatusOr<ApprovedImage> FindApproved(absl::string_view path) {
    ASSIGN_OR_RETURN(const std::optional<std::string> why, ended_packages.Why(std::string(path)));
    if (why.has_value()) return Error(absl::StatusCode::kNotFound, "PACKAGE_ENDED", *why);
    return images.Find(path);
  }

  // Something changed that may be work for the workers of this replica; the others find it at their next
  // interval.
  void Nudge() {
    absl::MutexLock lock(&mutex);
    for (std::optional<Loop>* loop : {&planner_loop, &asker_loop, &conductor_loop, &fanout_loop}) {
      if (loop->has_value()) (*loop)->Nudge();
    }
  }

  void Stop() {
    server.Drain();
    // Without the mutex: what is joined may nudge.
    if (decisions.has_value()) decisions->Stop();
    if (packages.has_value()) packages->Stop();
    if (components.has_value()) components->Stop();
    for (std::optional<Loop>* loop :
         {&planner_loop, &asker_loop, &conductor_loop, &fanout_loop, &housekeeping_loop}) {
      if (loop->has_value()) (*loop)->Stop();
    }
  }

  const Config config;
  metrics::Registry& registry;
  const metrics::CounterFamily ended;
  db::Database database;
  RolloutStore store;
  EndedPackages ended_packages;
  Bundles bundles;
  DirectorStore director_store;
  DatabaseTrustedStore trusted_store;
  rpc::Dialer dialer;
  InventoryClient inventory;
  LiaisonClient liaison;
  PackageStoreClient package_store;
  ConsentClient consent;
  ImageRepository images;
  DirectorSigner signer;
  Director director;
  HintHub hints;
  Planner planner;
  ConsentAsker asker;
  Conductor conductor;
  HintFanout fanout;
  feed::Tail tail;
  Housekeeping housekeeping;
  RolloutApi api;
  absl::Mutex mutex;  // guards that the loops are there
  std::optional<Loop> planner_loop, asker_loop, conductor_loop, fanout_loop, housekeeping_loop;
  std::optional<feed::Follower> decisions, packages, components;
  rpc::Server server;
  rpc::KeyWatch key_watch;
};

absl::StatusOr<std::unique_ptr<App::Parts>> App::Make(const Config& config) {
  ASSIGN_OR_RETURN(Keys keys, LoadKeys(config));
  {
    db::Database database(DatabaseOptions(config));
    RETURN_IF_ERROR(db::MigrateWhenReady(database,
                                         {db::RequestIdsMigrations(), feed::OutboxMigrations(),
                                          feed::FollowerMigrations(), RolloutMigrations()},
                                         kDatabasePatience));
  }
  return std::make_unique<Parts>(config, std::move(keys));
}

App::App(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

App::~App() { Stop(); }

absl::StatusOr<std::unique_ptr<App>> App::Start(const Config& config) {
  ASSIGN_OR_RETURN(std::unique_ptr<Parts> parts, Make(config));
  RETURN_IF_ERROR(parts->server.Start());
  parts->StartWorkers();
  return std::unique_ptr<App>(new App(std::move(parts)));
}

absl::Status App::RunUntilSignal(const Config& config) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Parts> parts, Make(config));
  parts->StartWorkers();
  return parts->server.RunUntilSignal();
}

int App::grpc_port() const { return parts_->server.grpc_port(); }

int App::http_port() const { return parts_->server.http_port(); }

void App::Stop() { parts_->Stop(); }

}  // namespace countersign::rollout
