#ifndef COUNTERSIGN_SERVICES_PACKAGE_STORE_TESTING_OBSERVER_H_
#define COUNTERSIGN_SERVICES_PACKAGE_STORE_TESTING_OBSERVER_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/tlog/checkpoint.h"
#include "common/trust/client.h"
#include "common/trust/trusted_store.h"
#include "countersign/package_store/v1/package_store.grpc.pb.h"

namespace countersign::package_store::testing {

namespace v1 = ::countersign::package_store::v1;

// The versions that are in force, by role; also "root", "targets", "snapshot" and "timestamp".
using Versions = std::map<std::string, int64_t>;

// A client that never forgets. What it is given has to be whole, signed, not older than what it ever had (a
// TUF client's rules), and the same bytes under the same name and version as ever, from whatever replica. Not
// thread-safe.
class Observer {
 public:
  // `log_key`: the log's, as a note verifier key.
  Observer(const std::string& initial_root, const std::string& log_key)
      : initial_root_(initial_root), log_key_(log_key) {}

  // Refreshes from a replica, as `stub` reaches it, and tells what is in force. UNAVAILABLE when the replica
  // is gone; any other error is a broken promise of the store.
  absl::StatusOr<Versions> Look(v1::PackageStoreService::Stub& stub);

  // Whether the packages that the store tells operators of are those that the metadata vouches for: `paths`
  // and no other, with the same digests.
  absl::Status ComparePackages(v1::PackageStoreService::Stub& stub, const std::vector<std::string>& paths);

  // Whether the log goes on from every head that was seen before, and has each version up to those in force
  // exactly once.
  absl::Status CompareLog(v1::PackageStoreService::Stub& stub, const Versions& in_force);

 private:
  class Recorder;

  const std::string initial_root_;
  const std::string log_key_;
  std::optional<tlog::Checkpoint> head_;
  trust::MemoryStore trusted_;
  std::map<std::string, std::string> seen_;  // files by name; timestamps by name and version
};

}  // namespace countersign::package_store::testing

#endif  // COUNTERSIGN_SERVICES_PACKAGE_STORE_TESTING_OBSERVER_H_
