#include "services/inventory/config.h"

#include <CLI/CLI.hpp>

#include "common/rpc/flags.h"

namespace countersign::inventory {

void AddFlags(CLI::App& app, Config& config) {
  rpc::AddServerFlags(app, config.server);
  rpc::AddFlag(app, "--database", config.database, "PostgreSQL connection string")->required();
  rpc::AddFlag(app, "--database-connections", config.database_connections, "Most connections to the database")
      ->check(CLI::Range(1, 1000));
  rpc::AddFlag(app, "--appid-registry-address", config.appid_registry_address,
               "host:port of the App-ID registry")
      ->required();
  rpc::AddFlag(app, "--challenge-seconds", config.challenge_seconds, "How long a challenge can be answered")
      ->check(CLI::Range(1, 86400));
  rpc::AddFlag(app, "--change-retention-hours", config.change_retention_hours,
               "How long changes are kept for watchers that were away")
      ->check(CLI::Range(1, 24 * 365));
  rpc::AddFlag(app, "--refused-report-retention-hours", config.refused_report_retention_hours,
               "How long refused reports are kept as evidence")
      ->check(CLI::Range(1, 24 * 3650));
  rpc::AddFlag(app, "--history-retention-months", config.history_retention_months,
               "How long the history of components is kept, in whole months")
      ->check(CLI::Range(1, 1200));
  rpc::AddFlag(app, "--package-store-address", config.package_store_address,
               "host:port of the package store, whose images are those that components may run; without it "
               "nothing is compared");
  rpc::AddFlag(
      app, "--rollout-address", config.rollout_address,
      "host:port of the rollout service, which tells of updates that fail; without it none are counted");
  rpc::AddFlag(app, "--unknown-images", config.unknown_images,
               "What an image means that nobody published, of a component without a declared factory image: "
               "note or modified")
      ->check(CLI::IsMember({"note", "modified"}));
  rpc::AddFlag(
      app, "--quarantine-modified", config.quarantine_modified,
      "Modified components that are ordered to stop at once: manufacturer/model, * for any, separated "
      "by commas");
  rpc::AddFlag(app, "--quarantine-confirm-seconds", config.quarantine_confirm_seconds,
               "How long a component may take to confirm that it has stopped")
      ->check(CLI::Range(1, 30 * 86400));
  rpc::AddFlag(app, "--report-interval-seconds", config.report_interval_seconds,
               "How often a gateway is to report when nothing happens")
      ->check(CLI::Range(1, 30 * 86400));
  rpc::AddFlag(app, "--max-ingest-mib", config.max_ingest_mib,
               "MiB of manifests that are dealt with at once; more are refused, to be sent again")
      ->check(CLI::Range(1, 65536));
  rpc::AddFlag(app, "--cached-keys", config.cached_keys, "Components whose parsed keys are kept in memory")
      ->check(CLI::Range(1, 10'000'000));
}

}  // namespace countersign::inventory
