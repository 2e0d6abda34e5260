#ifndef COUNTERSIGN_SERVICES_PACKAGE_STORE_CONFIG_H_
#define COUNTERSIGN_SERVICES_PACKAGE_STORE_CONFIG_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock/clock.h"
#include "common/rpc/server.h"
#include "services/package_store/storage/deltas.h"

namespace countersign::package_store {

// What the service needs to know to start.
struct Config {
  // The window bounds what uploads take, and lets 40 MB/s come over a line of 100 ms.
  rpc::ServerOptions server = {.stream_window_bytes = 4 << 20};
  std::string database;  // libpq's connection string
  // Where the images are, shared by all replicas, of this database only: a folder, or else a bucket.
  std::string blob_dir;
  std::string blob_s3;                       // https://endpoint/bucket[/prefix]
  std::string blob_s3_region = "us-east-1";  // of the bucket
  std::string blob_s3_credentials;           // file; read again when it changes
  std::string blob_s3_ca;                    // PEM of who vouches for the endpoint; empty: the system's
  std::string snapshot_key;                  // of the key that signs snapshots: what crypto::OpenSigner takes
  std::string timestamp_key;                 // the same, of timestamps
  std::string log_key;                       // Ed25519 key of the transparency log; as snapshot_key
  std::string log_origin;                    // the log's name; empty: <trust domain>/image-repository

  int64_t quota_bytes = int64_t{64} << 30;      // of each manufacturer
  absl::Duration upload_age = absl::Hours(48);  // an upload that nobody writes to is forgotten after this

  Deltas::Limits delta_limits;
  absl::Duration delta_keep = absl::Hours(30 * 24);  // a delta that nobody asks for is removed after this
  absl::Duration delta_lease = absl::Minutes(5);     // see DeltaMaker
  absl::Duration delta_interval = absl::Seconds(1);  // how often to look whether a delta is wanted
  std::string scratch_dir = "/tmp";                  // where deltas are made

  absl::Duration snapshot_lifetime = absl::Hours(7 * 24);
  absl::Duration timestamp_lifetime = absl::Hours(24);
  absl::Duration renewal_interval = absl::Seconds(10);  // how often to look whether something is to be signed
  absl::Duration cleanup_interval = absl::Minutes(10);
  // Every image is read again and compared with its digest once in a period, at this speed at most; 0: never.
  int scrub_mib_per_second = 16;  // of each replica
  absl::Duration scrub_period = absl::Hours(30 * 24);
  absl::Duration scrub_interval = absl::Seconds(30);  // how often to look whether an image is due
  absl::Duration database_wait = absl::Seconds(60);   // for the database to answer at the start

  const Clock* clock = &SystemClock();
};

// From the command line and the environment. On --help, or a command line that is wrong, says so on the
// standard output or error and ends the process.
absl::StatusOr<Config> ParseConfig(int argc, char** argv);

}  // namespace countersign::package_store

#endif  // COUNTERSIGN_SERVICES_PACKAGE_STORE_CONFIG_H_
