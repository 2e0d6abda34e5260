#include "services/package_store/app.h"

#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/crypto/open_signer.h"
#include "common/crypto/signer.h"
#include "common/db/database.h"
#include "common/db/migrations.h"
#include "common/db/request_ids_migrations.h"
#include "common/feed/outbox_migrations.h"
#include "common/feed/tail.h"
#include "common/rpc/key_watch.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/worker/periodic.h"
#include "services/package_store/api/convert.h"
#include "services/package_store/api/package_store_api.h"
#include "services/package_store/storage/deltas.h"
#include "services/package_store/storage/file_blob_store.h"
#include "services/package_store/storage/image_health.h"
#include "services/package_store/storage/images.h"
#include "services/package_store/storage/package_store_migrations.h"
#include "services/package_store/storage/packages.h"
#include "services/package_store/storage/proposals.h"
#include "services/package_store/storage/publications.h"
#include "services/package_store/storage/s3_blob_store.h"
#include "services/package_store/storage/transparency_log.h"
#include "services/package_store/workers/delta_maker.h"
#include "services/package_store/workers/scrub.h"
#include "services/package_store/workers/workers.h"

namespace countersign::package_store {
namespace {

// The workers and the tail use connections beside the executor's threads.
constexpr int kOwnConnections = 6;
// Longer than anybody takes from storing a delta to recording it.
constexpr absl::Duration kOrphanAge = absl::Hours(1);

db::Options DatabaseOptions(const Config& config) {
  db::Options options;
  options.conninfo = config.database;
  options.max_connections = config.server.threads + kOwnConnections;
  return options;
}

absl::StatusOr<std::shared_ptr<const crypto::Signer>> OpenKey(const std::string& spec,
                                                              absl::string_view flag) {
  absl::StatusOr<std::unique_ptr<crypto::Signer>> signer = crypto::OpenSigner(spec);
  if (!signer.ok()) return Annotate(signer.status(), flag);
  return *std::move(signer);
}

struct OpenedKeys {
  std::shared_ptr<const crypto::Signer> snapshot;
  std::shared_ptr<const crypto::Signer> timestamp;
  std::shared_ptr<const crypto::Signer> log;
};

absl::StatusOr<OpenedKeys> OpenKeys(const Config& config) {
  OpenedKeys keys;
  ASSIGN_OR_RETURN(keys.snapshot, OpenKey(config.snapshot_key, "--snapshot-key"));
  ASSIGN_OR_RETURN(keys.timestamp, OpenKey(config.timestamp_key, "--timestamp-key"));
  ASSIGN_OR_RETURN(keys.log, OpenKey(config.log_key, "--log-key"));
  return keys;
}

std::string LogOrigin(const Config& config) {
  if (!config.log_origin.empty()) return config.log_origin;
  return absl::StrCat(config.server.tls.trust_domain, "/image-repository");
}

absl::StatusOr<std::unique_ptr<BlobStore>> OpenBlobs(const Config& config,
                                                     const RepositoryIdentity& repository,
                                                     metrics::Registry& registry) {
  if (config.blob_s3.empty())
    return FileBlobStore::Open(config.blob_dir, repository.id, repository.has_images);
  const metrics::CounterFamily requests = registry.AddCounter(
      "countersign_package_store_bucket_requests_total",
      "Attempts at requests to the bucket, by operation and HTTP status ('none' without an answer).",
      {"operation", "code"});
  ASSIGN_OR_RETURN(
      std::unique_ptr<Bucket> bucket,
      Bucket::Create({.url = config.blob_s3,
                      .region = config.blob_s3_region,
                      .credentials_file = config.blob_s3_credentials,
                      .ca_file = config.blob_s3_ca,
                      .on_request = [requests](absl::string_view operation, absl::string_view code) {
                        requests.With({std::string(operation), std::string(code)}).Increment();
                      }}));
  return S3BlobStore::Open(std::move(bucket), repository.id, repository.has_images);
}

}  // namespace

struct App::Parts {
  Parts(const Config& config, OpenedKeys online_keys)
      : keys(std::move(online_keys)), database(DatabaseOptions(config)), server(config.server) {}

  const OpenedKeys keys;
  db::Database database;
  std::unique_ptr<BlobStore> blobs;
  std::unique_ptr<TransparencyLog> log;
  std::optional<feed::Tail> tail;
  std::optional<Publications> publications;
  std::optional<Images> images;
  std::optional<Proposals> proposals;
  std::optional<Packages> packages;
  std::optional<Deltas> deltas;
  std::optional<PackageStoreApi> api;
  rpc::Server server;
  std::optional<rpc::KeyWatch> key_watch;
  std::optional<Renewal> renewal;
  std::optional<Cleanup> cleanup;
  std::optional<LogKeeper> log_keeper;
  std::optional<DeltaMaker> delta_maker;
  std::optional<Periodic> renewal_thread;
  std::optional<Periodic> cleanup_thread;
  std::optional<Periodic> delta_thread;
  std::optional<Periodic> log_thread;
  std::optional<ImageHealth> health;
  std::optional<Scrub> scrub;
  std::optional<Periodic> scrub_thread;
};

App::App(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

App::~App() { Stop(); }

absl::StatusOr<std::unique_ptr<App>> App::Build(const Config& config) {
  ASSIGN_OR_RETURN(OpenedKeys keys, OpenKeys(config));
  auto parts = std::make_unique<Parts>(config, std::move(keys));
  RETURN_IF_ERROR(db::MigrateWhenReady(
      parts->database, {db::RequestIdsMigrations(), feed::OutboxMigrations(), PackageStoreMigrations()},
      config.database_wait));
  ASSIGN_OR_RETURN(const RepositoryIdentity repository, GetRepositoryIdentity(parts->database));
  ASSIGN_OR_RETURN(parts->blobs, OpenBlobs(config, repository, parts->server.registry()));

  const OnlineSigning signing{{parts->keys.snapshot.get(), parts->keys.timestamp.get()},
                              {config.snapshot_lifetime, config.timestamp_lifetime}};
  absl::StatusOr<std::unique_ptr<TransparencyLog>> log =
      TransparencyLog::Open(parts->database, *parts->blobs, *parts->keys.log, LogOrigin(config));
  if (!log.ok()) return Annotate(log.status(), "--log-key, --log-origin");
  parts->log = *std::move(log);
  parts->tail.emplace(parts->database);
  parts->publications.emplace(parts->database, signing, *parts->log, &EncodePackageEvent);
  parts->images.emplace(parts->database, *parts->blobs, config.quota_bytes);
  parts->proposals.emplace(parts->database, signing, *parts->log, &EncodePackageEvent);
  parts->packages.emplace(parts->database, *parts->log, &EncodePackageEvent);
  parts->deltas.emplace(parts->database, config.delta_limits);
  parts->api.emplace(PackageStoreApi::Parts{parts->database, *parts->publications, *parts->images,
                                            *parts->proposals, *parts->packages, *parts->deltas,
                                            *parts->blobs, *parts->log, *parts->tail, *config.clock,
                                            parts->server.registry(), parts->server.executor()});
  parts->server.AddService(parts->api->Bind());
  parts->server.AddReadinessCheck("database", [&database = parts->database] { return database.Ping(); });
  parts->key_watch.emplace(parts->server,
                           std::vector<rpc::KeyWatch::Key>{{"snapshot", parts->keys.snapshot},
                                                           {"timestamp", parts->keys.timestamp},
                                                           {"log", parts->keys.log}});

  parts->renewal.emplace(*parts->publications, *parts->proposals, *config.clock, parts->server.registry());
  parts->cleanup.emplace(parts->database, *parts->publications, *parts->images, *config.clock,
                         config.upload_age);
  parts->log_keeper.emplace(*parts->log, *config.clock, parts->server.registry());
  parts->log_keeper->Round().IgnoreError();  // the readiness check says what it is
  parts->server.AddReadinessCheck("log", [&keeper = *parts->log_keeper] { return keeper.LastRound(); });

  parts->delta_maker.emplace(*parts->deltas, *parts->blobs, *config.clock, parts->server.registry(),
                             DeltaMaker::Options{config.scratch_dir, config.delta_lease});
  parts->renewal_thread.emplace("renewal", config.renewal_interval,
                                [&renewal = *parts->renewal] { return renewal.Round(); });
  parts->cleanup_thread.emplace("cleanup", config.cleanup_interval,
                                [&parts = *parts, clock = config.clock, keep = config.delta_keep] {
                                  RETURN_IF_ERROR(parts.cleanup->Round());
                                  const absl::Time now = clock->Now();
                                  return parts.delta_maker->Cleanup(now - keep, now - kOrphanAge);
                                });
  parts->delta_thread.emplace("deltas", config.delta_interval,
                              [&maker = *parts->delta_maker] { return maker.Round(); });
  parts->log_thread.emplace("log", config.renewal_interval,
                            [&keeper = *parts->log_keeper] { return keeper.Round(); });
  parts->health.emplace(parts->database, *parts->blobs);
  parts->scrub.emplace(*parts->health, *config.clock, parts->server.registry(),
                       Scrub::Options{int64_t{config.scrub_mib_per_second} << 20, config.scrub_period});
  if (config.scrub_mib_per_second > 0) {
    parts->scrub_thread.emplace("scrub", config.scrub_interval,
                                [&scrub = *parts->scrub] { return scrub.Round(); });
  }
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
  parts_->delta_maker->Stop();
  parts_->renewal_thread.reset();
  parts_->cleanup_thread.reset();
  parts_->delta_thread.reset();
  parts_->log_thread.reset();
  parts_->scrub->Stop();
  parts_->scrub_thread.reset();
  parts_->tail->Stop();
}

}  // namespace countersign::package_store
