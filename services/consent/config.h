#ifndef COUNTERSIGN_SERVICES_CONSENT_CONFIG_H_
#define COUNTERSIGN_SERVICES_CONSENT_CONFIG_H_

#include <string>

#include "absl/time/time.h"
#include "common/clock/clock.h"
#include "common/rpc/server.h"

namespace CLI {
class App;
}

namespace countersign::consent {

struct Config {
  rpc::ServerOptions server;
  std::string database;          // PostgreSQL connection string
  int database_connections = 8;  // at most
  std::string record_key;        // of the key that signs records: what crypto::OpenSigner takes
  int grant_hours = 30 * 24;     // how long a yes holds
  int prompt_hours = 90 * 24;    // how long a question waits for an answer
  // How long an answer can be put off, by criticality.
  int defer_low_hours = 30 * 24;
  int defer_medium_hours = 14 * 24;
  int defer_high_hours = 72;
  int defer_critical_hours = 4;
  int event_retention_hours = 7 * 24;  // for watchers that were away
  absl::Duration housekeeping_interval = absl::Seconds(1);
  const Clock* clock = &SystemClock();
};

// Adds the flags that set `config`, which must outlive the parsing.
void AddFlags(CLI::App& app, Config& config);

}  // namespace countersign::consent

#endif  // COUNTERSIGN_SERVICES_CONSENT_CONFIG_H_
