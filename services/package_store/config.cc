#include "services/package_store/config.h"

#include <CLI/CLI.hpp>
#include <cstdlib>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/delta/delta.h"
#include "common/rpc/flags.h"
#include "common/status/errors.h"

namespace countersign::package_store {

absl::StatusOr<Config> ParseConfig(int argc, char** argv) {
  Config config;
  CLI::App app("The image repository: images, their metadata, and the Management Authority's approval.");
  std::string quota_bytes = absl::StrCat(config.quota_bytes);
  int upload_age_hours = absl::ToInt64Hours(config.upload_age);
  int scrub_period_hours = absl::ToInt64Hours(config.scrub_period);
  int snapshot_hours = absl::ToInt64Hours(config.snapshot_lifetime);
  int timestamp_hours = absl::ToInt64Hours(config.timestamp_lifetime);
  std::string delta_max_bytes = absl::StrCat(config.delta_limits.max_image_bytes);
  int delta_keep_days = absl::ToInt64Hours(config.delta_keep) / 24;
  int delta_lease_seconds = absl::ToInt64Seconds(config.delta_lease);
  int renewal_interval_ms = absl::ToInt64Milliseconds(config.renewal_interval);
  rpc::AddServerFlags(app, config.server);
  rpc::AddFlag(app, "--database", config.database, "PostgreSQL connection string")->required();
  rpc::AddFlag(app, "--blob-dir", config.blob_dir, "Folder of the images; or --blob-s3");
  rpc::AddFlag(
      app, "--blob-s3", config.blob_s3,
      "S3-compatible bucket of the images: https://endpoint/bucket or https://endpoint/bucket/prefix");
  rpc::AddFlag(app, "--blob-s3-region", config.blob_s3_region, "The bucket's region");
  rpc::AddFlag(
      app, "--blob-s3-credentials", config.blob_s3_credentials,
      "File with aws_access_key_id = ... and aws_secret_access_key = ...; read again when it changes");
  rpc::AddFlag(app, "--blob-s3-ca", config.blob_s3_ca,
               "PEM file of who vouches for the bucket's server, if the system does not know them");
  rpc::AddFlag(app, "--snapshot-key", config.snapshot_key,
               "PEM file or PKCS#11 URI of the key that signs snapshots")
      ->required();
  rpc::AddFlag(app, "--timestamp-key", config.timestamp_key,
               "PEM file or PKCS#11 URI of the key that signs timestamps")
      ->required();
  rpc::AddFlag(app, "--log-key", config.log_key,
               "Ed25519 key of the transparency log, as --snapshot-key; the root names it")
      ->required();
  rpc::AddFlag(app, "--log-origin", config.log_origin,
               "The log's name, for ever; <trust domain>/image-repository unless given");
  rpc::AddFlag(app, "--quota-bytes", quota_bytes, "Bytes that one manufacturer may store");
  rpc::AddFlag(app, "--upload-age-hours", upload_age_hours,
               "An upload that nobody writes to is forgotten after this");
  rpc::AddFlag(app, "--scrub-mib-per-second", config.scrub_mib_per_second,
               "How fast images are read again to find damage; 0: never");
  rpc::AddFlag(app, "--scrub-period-hours", scrub_period_hours, "Every image is read again once in this");
  rpc::AddFlag(app, "--snapshot-lifetime-hours", snapshot_hours, "A snapshot expires after this");
  rpc::AddFlag(app, "--timestamp-lifetime-hours", timestamp_hours, "A timestamp expires after this");
  rpc::AddFlag(app, "--delta-max-bytes", delta_max_bytes, "Longer images have no deltas; 0 for none at all");
  rpc::AddFlag(app, "--delta-keep-days", delta_keep_days,
               "A delta that nobody asks for is removed after this");
  rpc::AddFlag(app, "--delta-lease-seconds", delta_lease_seconds,
               "Another replica makes a delta whose maker has been silent for this long");
  rpc::AddFlag(app, "--scratch-dir", config.scratch_dir,
               "Folder where deltas are made; with room for two images and a delta");
  rpc::AddFlag(app, "--renewal-interval-ms", renewal_interval_ms,
               "How often to look whether snapshot or timestamp is to be signed again");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::exit(app.exit(error));
  }
  if (!absl::SimpleAtoi(quota_bytes, &config.quota_bytes) || config.quota_bytes < 1 || upload_age_hours < 1 ||
      snapshot_hours < 1 || timestamp_hours < 1 || renewal_interval_ms < 1) {
    return Error(
        absl::StatusCode::kInvalidArgument, "BAD_FLAG",
        "--quota-bytes, --upload-age-hours, --snapshot-lifetime-hours, --timestamp-lifetime-hours and "
        "--renewal-interval-ms must be whole numbers from 1.");
  }
  if (!absl::SimpleAtoi(delta_max_bytes, &config.delta_limits.max_image_bytes) ||
      config.delta_limits.max_image_bytes < 0 ||
      config.delta_limits.max_image_bytes > delta::kMaxImageBytes || delta_keep_days < 1 ||
      delta_lease_seconds < 1) {
    return Error(absl::StatusCode::kInvalidArgument, "BAD_FLAG",
                 absl::StrCat("--delta-max-bytes must be a whole number from 0 to ", delta::kMaxImageBytes,
                              ", --delta-keep-days and --delta-lease-seconds from 1."));
  }
  config.delta_keep = absl::Hours(24) * delta_keep_days;
  config.delta_lease = absl::Seconds(delta_lease_seconds);
  if (config.scrub_mib_per_second < 0 || config.scrub_mib_per_second > 1'000'000 || scrub_period_hours < 1) {
    return Error(absl::StatusCode::kInvalidArgument, "BAD_FLAG",
                 "--scrub-mib-per-second must be a whole number from 0, --scrub-period-hours from 1.");
  }
  if (config.blob_dir.empty() == config.blob_s3.empty()) {
    return Error(absl::StatusCode::kInvalidArgument, "BAD_FLAG",
                 "Say where the images are: give either --blob-dir or --blob-s3.");
  }
  if (!config.blob_s3.empty() && config.blob_s3_credentials.empty()) {
    return Error(absl::StatusCode::kInvalidArgument, "BAD_FLAG",
                 "--blob-s3 needs --blob-s3-credentials, the file with the bucket's keys.");
  }
  config.scrub_period = absl::Hours(scrub_period_hours);
  config.upload_age = absl::Hours(upload_age_hours);
  config.snapshot_lifetime = absl::Hours(snapshot_hours);
  config.timestamp_lifetime = absl::Hours(timestamp_hours);
  config.renewal_interval = absl::Milliseconds(renewal_interval_ms);
  return config;
}

}  // namespace countersign::package_store
