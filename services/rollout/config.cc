#include "services/rollout/config.h"

#include <CLI/CLI.hpp>

#include "common/rpc/flags.h"

namespace countersign::rollout {

void AddFlags(CLI::App& app, Config& config) {
  rpc::AddServerFlags(app, config.server);
  const auto required = [&app](const std::string& flag, std::string& target, const std::string& help) {
    rpc::AddFlag(app, flag, target, help)->required();
  };
  required("--database", config.database, "PostgreSQL connection string");
  rpc::AddFlag(app, "--database-connections", config.database_connections, "Most connections to the database")
      ->check(CLI::Range(1, 1000));
  required("--inventory-address", config.inventory_address, "host:port of inventory");
  required("--liaison-address", config.liaison_address, "host:port of liaison");
  required("--package-store-address", config.package_store_address, "host:port of package_store");
  required("--consent-address", config.consent_address, "host:port of consent");
  required("--director-targets-key", config.director_targets_key,
           "PEM file or PKCS#11 URI of the key that signs Director targets");
  required("--director-snapshot-key", config.director_snapshot_key,
           "PEM file or PKCS#11 URI of the key that signs Director snapshots");
  required("--director-timestamp-key", config.director_timestamp_key,
           "PEM file or PKCS#11 URI of the key that signs Director timestamps");
  required("--consent-public-key", config.consent_public_key,
           "PEM public key that consent records are signed with");
  required("--image-root", config.image_root,
           "The image repository's first root (1.root.json): the trust anchor");
  rpc::AddFlag(app, "--next-check-in-seconds", config.next_check_in_seconds,
               "When gateways are told to check in again at the latest")
      ->check(CLI::Range(1, 7 * 86400));
}

}  // namespace countersign::rollout
