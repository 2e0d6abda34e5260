#include "services/package_store/config.h"

#include <CLI/CLI.hpp>
#include <cstdlib>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/rpc/flags.h"
#include "common/status/errors.h"

namespace countersign::package_store {

absl::StatusOr<Config> ParseConfig(int argc, char** argv) {
  Config config;
  CLI::App app("The image repository: images, their metadata, and the Management Authority's approval.");
  std::string quota_bytes = absl::StrCat(config.quota_bytes);
  int upload_age_hours = absl::ToInt64Hours(config.upload_age);
  int snapshot_hours = absl::ToInt64Hours(config.snapshot_lifetime);
  int timestamp_hours = absl::ToInt64Hours(config.timestamp_lifetime);
  rpc::AddServerFlags(app, config.server);
  rpc::AddFlag(app, "--database", config.database, "PostgreSQL connection string")->required();
  rpc::AddFlag(app, "--blob-dir", config.blob_dir, "Folder of the images")->required();
  rpc::AddFlag(app, "--snapshot-key", config.snapshot_key,
               "PEM file or PKCS#11 URI of the key that signs snapshots")
      ->required();
  rpc::AddFlag(app, "--timestamp-key", config.timestamp_key,
               "PEM file or PKCS#11 URI of the key that signs timestamps")
      ->required();
  rpc::AddFlag(app, "--quota-bytes", quota_bytes, "Bytes that one manufacturer may store");
  rpc::AddFlag(app, "--upload-age-hours", upload_age_hours,
               "An upload that nobody writes to is forgotten after this");
  rpc::AddFlag(app, "--snapshot-lifetime-hours", snapshot_hours, "A snapshot expires after this");
  rpc::AddFlag(app, "--timestamp-lifetime-hours", timestamp_hours, "A timestamp expires after this");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::exit(app.exit(error));
  }
  if (!absl::SimpleAtoi(quota_bytes, &config.quota_bytes) || config.quota_bytes < 1 || upload_age_hours < 1 ||
      snapshot_hours < 1 || timestamp_hours < 1) {
    return Error(
        absl::StatusCode::kInvalidArgument, "BAD_FLAG",
        "--quota-bytes, --upload-age-hours, --snapshot-lifetime-hours and --timestamp-lifetime-hours must be "
        "whole numbers from 1.");
  }
  config.upload_age = absl::Hours(upload_age_hours);
  config.snapshot_lifetime = absl::Hours(snapshot_hours);
  config.timestamp_lifetime = absl::Hours(timestamp_hours);
  return config;
}

}  // namespace countersign::package_store
