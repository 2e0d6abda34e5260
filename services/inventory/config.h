#ifndef COUNTERSIGN_SERVICES_INVENTORY_CONFIG_H_
#define COUNTERSIGN_SERVICES_INVENTORY_CONFIG_H_

#include <string>

#include "absl/time/time.h"
#include "common/clock/clock.h"
#include "common/rpc/server.h"

namespace CLI {
class App;
}

namespace countersign::inventory {

struct Config {
  rpc::ServerOptions server;
  std::string database;                // PostgreSQL connection string
  int database_connections = 8;        // at most
  std::string appid_registry_address;  // host:port
  // How long a gateway may take from its challenge to the manifest that answers it.
  int challenge_seconds = 600;
  // How long changes are kept for watchers that were away, and refused reports as evidence.
  int change_retention_hours = 7 * 24;
  int refused_report_retention_hours = 90 * 24;
  int history_retention_months = 24;
  std::string package_store_address;  // host:port; empty: images are compared with nothing
  std::string rollout_address;        // host:port; empty: failed updates are not counted
  // Whether a component is MODIFIED that runs an image which nobody published, although no factory image was
  // declared for it: "note" (it is noted only) or "modified".
  std::string unknown_images = "note";
  // Modified components that are ordered to stop without a person: manufacturer/model, either of them *,
  // separated by commas.
  std::string quarantine_modified;
  // How long a component that was ordered to stop may take to say that it has, before it is counted.
  int quarantine_confirm_seconds = 900;
  // How often a gateway is to report when nothing happens, on average.
  int report_interval_seconds = 3600;
  // Bytes of manifests that are verified or wait to be written at once; more are refused, to be sent again.
  int max_ingest_mib = 64;
  // Components, of all gateways together, whose parsed keys are kept in memory (about 3 KB each).
  int cached_keys = 20000;
  const Clock* clock = &SystemClock();
};

// Adds the flags that set `config`, which must outlive the parsing.
void AddFlags(CLI::App& app, Config& config);

}  // namespace countersign::inventory

#endif  // COUNTERSIGN_SERVICES_INVENTORY_CONFIG_H_
