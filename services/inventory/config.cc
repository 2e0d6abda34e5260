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
  rpc::AddFlag(app, "--cached-keys", config.cached_keys, "Components whose parsed keys are kept in memory")
      ->check(CLI::Range(1, 10'000'000));
}

}  // namespace countersign::inventory
