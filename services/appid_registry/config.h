#ifndef COUNTERSIGN_SERVICES_APPID_REGISTRY_CONFIG_H_
#define COUNTERSIGN_SERVICES_APPID_REGISTRY_CONFIG_H_

#include <string>

#include "common/clock/clock.h"
#include "common/rpc/server.h"

namespace CLI {
class App;
}

namespace countersign::appid_registry {

struct Config {
  rpc::ServerOptions server;
  std::string database;          // PostgreSQL connection string
  int database_connections = 8;  // at most
  std::string answer_key;        // of the key that signs answers: what crypto::OpenSigner takes
  int answer_validity_hours = 24;
  std::string authorities;     // who issues under which authority id: what domain::Authorities::Parse takes
  bool require_terms = false;  // of every profile that is registered
  const Clock* clock = &SystemClock();
};

// Adds the flags that set `config`, which must outlive the parsing.
void AddFlags(CLI::App& app, Config& config);

}  // namespace countersign::appid_registry

#endif  // COUNTERSIGN_SERVICES_APPID_REGISTRY_CONFIG_H_
