#include "services/liaison/config.h"

#include <CLI/CLI.hpp>
#include <cstdlib>

#include "common/rpc/flags.h"
#include "common/status/errors.h"

namespace countersign::liaison {

absl::StatusOr<Config> ParseConfig(int argc, char** argv) {
  Config config;
  CLI::App app("Liaison with manufacturers: how each is reached, what it offers, and what it is told.");
  int refresh_minutes = absl::ToInt64Minutes(config.refresh_interval);
  rpc::AddServerFlags(app, config.server);
  rpc::AddFlag(app, "--database", config.database, "PostgreSQL connection string")->required();
  rpc::AddFlag(app, "--package-store-address", config.package_store_address, "host:port of the package store")
      ->required();
  rpc::AddFlag(app, "--refresh-minutes", refresh_minutes, "A manufacturer's backend is asked this often");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::exit(app.exit(error));
  }
  if (refresh_minutes < 1) {
    return Error(absl::StatusCode::kInvalidArgument, "BAD_FLAG",
                 "--refresh-minutes must be a whole number from 1");
  }
  config.refresh_interval = absl::Minutes(refresh_minutes);
  return config;
}

}  // namespace countersign::liaison
