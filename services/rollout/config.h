#ifndef COUNTERSIGN_SERVICES_ROLLOUT_CONFIG_H_
#define COUNTERSIGN_SERVICES_ROLLOUT_CONFIG_H_

#include <string>

#include "absl/time/time.h"
#include "common/clock/clock.h"
#include "common/rpc/server.h"

namespace CLI {
class App;
}

namespace countersign::rollout {

struct Config {
  rpc::ServerOptions server;
  std::string database;           // PostgreSQL connection string
  int database_connections = 12;  // at most

  // host:port of the services that it asks.
  std::string inventory_address;
  std::string liaison_address;
  std::string package_store_address;
  std::string consent_address;

  // The Director's keys: what crypto::OpenSigner takes.
  std::string director_targets_key;
  std::string director_snapshot_key;
  std::string director_timestamp_key;
  std::string consent_public_key;  // PEM file: who signs consent records
  std::string
      image_root;  // the image repository's 1.root.json: what the service's own verification begins with

  int next_check_in_seconds = 3600;  // what gateways are told

  // For tests.
  absl::Duration poll_interval = absl::Milliseconds(500);  // of what waits in the database
  absl::Duration hint_interval = absl::Milliseconds(100);
  absl::Duration metrics_interval = absl::Seconds(5);
  absl::Duration planning_lease = absl::Seconds(30);
  const Clock* clock = &SystemClock();
};

// Adds the flags that set `config`, which must outlive the parsing.
void AddFlags(CLI::App& app, Config& config);

}  // namespace countersign::rollout

#endif  // COUNTERSIGN_SERVICES_ROLLOUT_CONFIG_H_
