#include "services/consent/config.h"

#include <CLI/CLI.hpp>

#include "common/rpc/flags.h"

namespace countersign::consent {

void AddFlags(CLI::App& app, Config& config) {
  constexpr int kMaxHours = 10 * 365 * 24;
  rpc::AddServerFlags(app, config.server);
  rpc::AddFlag(app, "--database", config.database, "PostgreSQL connection string")->required();
  rpc::AddFlag(app, "--database-connections", config.database_connections, "Most connections to the database")
      ->check(CLI::Range(1, 1000));
  rpc::AddFlag(app, "--record-key", config.record_key,
               "PEM file or PKCS#11 URI of the key that signs consent records")
      ->required();
  rpc::AddFlag(app, "--grant-hours", config.grant_hours, "How long a grant holds")
      ->check(CLI::Range(1, kMaxHours));
  rpc::AddFlag(app, "--prompt-hours", config.prompt_hours, "How long a question waits for an answer")
      ->check(CLI::Range(1, kMaxHours));
  rpc::AddFlag(app, "--defer-low-hours", config.defer_low_hours, "How long a LOW update can be put off")
      ->check(CLI::Range(0, kMaxHours));
  rpc::AddFlag(app, "--defer-medium-hours", config.defer_medium_hours,
               "How long a MEDIUM update can be put off")
      ->check(CLI::Range(0, kMaxHours));
  rpc::AddFlag(app, "--defer-high-hours", config.defer_high_hours, "How long a HIGH update can be put off")
      ->check(CLI::Range(0, kMaxHours));
  rpc::AddFlag(app, "--defer-critical-hours", config.defer_critical_hours,
               "How long a CRITICAL update can be put off; 0: not at all")
      ->check(CLI::Range(0, kMaxHours));
  rpc::AddFlag(app, "--event-retention-hours", config.event_retention_hours,
               "How long decisions are kept for watchers that were away")
      ->check(CLI::Range(1, kMaxHours));
}

}  // namespace countersign::consent
