#include "services/appid_registry/config.h"

#include <CLI/CLI.hpp>

#include "common/rpc/flags.h"

namespace countersign::appid_registry {

void AddFlags(CLI::App& app, Config& config) {
  rpc::AddServerFlags(app, config.server);
  rpc::AddFlag(app, "--database", config.database, "PostgreSQL connection string")->required();
  rpc::AddFlag(app, "--database-connections", config.database_connections, "Most connections to the database")
      ->check(CLI::Range(1, 1000));
  rpc::AddFlag(app, "--answer-key", config.answer_key,
               "PEM file or PKCS#11 URI of the key that signs answers")
      ->required();
  rpc::AddFlag(app, "--answer-validity-hours", config.answer_validity_hours, "How long an answer may be kept")
      ->check(CLI::Range(1, 24 * 365));
  rpc::AddFlag(
      app, "--authorities", config.authorities,
      "Which registrar issues App-IDs under which authority id: {registrar}={authority id}, with commas "
      "between them, e.g. ara=a01,ara=a02")
      ->required();
  rpc::AddFlag(app, "--require-terms", config.require_terms,
               "Register nothing without terms that the App Registrant signed");
}

}  // namespace countersign::appid_registry
