#ifndef COUNTERSIGN_SERVICES_LIAISON_CONFIG_H_
#define COUNTERSIGN_SERVICES_LIAISON_CONFIG_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock/clock.h"
#include "common/rpc/server.h"

namespace countersign::liaison {

// What the service needs to know to start.
struct Config {
  rpc::ServerOptions server;
  std::string database;               // libpq's connection string
  std::string package_store_address;  // host:port

  absl::Duration refresh_interval = absl::Hours(1);  // between two questions to one manufacturer's backend
  absl::Duration poll_interval =
      absl::Seconds(1);  // how often to look whether somebody is to be asked or told
  absl::Duration notice_retry = absl::Minutes(1);  // until a notice is tried again
  absl::Duration stall_window =
      absl::Seconds(30);  // a backend that sends next to nothing for as long is left
  absl::Duration database_wait = absl::Seconds(60);  // for the database to answer at the start

  const Clock* clock = &SystemClock();
};

// From the command line and the environment. On --help, or a command line that is wrong, says so on the
// standard output or error and ends the process.
absl::StatusOr<Config> ParseConfig(int argc, char** argv);

}  // namespace countersign::liaison

#endif  // COUNTERSIGN_SERVICES_LIAISON_CONFIG_H_
