#ifndef COUNTERSIGN_SERVICES_PACKAGE_STORE_STORAGE_DELTAS_H_
#define COUNTERSIGN_SERVICES_PACKAGE_STORE_STORAGE_DELTAS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/db/database.h"
#include "services/package_store/domain/values.h"

namespace countersign::package_store {

// Which deltas there are, and which are wanted: a queue that all replicas work off together, each delta by
// one of them. Thread-safe.
class Deltas {
 public:
  struct Limits {
    int64_t max_image_bytes = int64_t{256} << 20;  // longer images have no deltas
    int64_t max_waiting_of_one = 16;               // that one caller was the first to ask for
    int64_t max_waiting = 1000;
  };
  // `database` outlives it.
  Deltas(db::Database& database, const Limits& limits) : database_(database), limits_(limits) {}

  // What is known of the delta; if nothing is, it is put into the queue for `caller` (role/id). NOT_FOUND
  // (IMAGE_NOT_FOUND) if one of the images is not stored, RESOURCE_EXHAUSTED (TOO_MANY_DELTAS).
  absl::StatusOr<Delta> Ask(const std::string& base_sha256, const std::string& sha256,
                            const std::string& caller, absl::Time now);

  // A delta that is ready. NOT_FOUND (DELTA_NOT_READY).
  absl::StatusOr<Delta> GetReady(const std::string& base_sha256, const std::string& sha256);
  // Forgets one whose object is gone, so that it is made again.
  absl::Status Forget(const std::string& object);

  // The right to make one delta, until `until`. Nobody else has it before then.
  struct Claim {
    std::string base_sha256;
    std::string sha256;
    int64_t base_bytes = 0;
    int64_t bytes = 0;  // of the new image
    std::string id;
  };
  // Takes the one that has waited longest and that nobody makes; nullopt if there is none. One that was taken
  // `kMaxAttempts` times by replicas that did not live to finish it is given up as not worthwhile.
  static constexpr int kMaxAttempts = 3;
  absl::StatusOr<std::optional<Claim>> ClaimNext(absl::Time now, absl::Time until);
  // ABORTED (CLAIM_LOST) if its time was over and another replica has it.
  absl::Status Renew(const Claim& claim, absl::Time until);
  // Gives it back, to be taken again from `at` on. Fails as Renew().
  absl::Status GiveBack(const Claim& claim, absl::Time at);
  // The delta lies in the blob store as `object`. Fails as Renew(): then nobody knows `object`.
  absl::Status CompleteReady(const Claim& claim, const std::string& object, int64_t length_bytes,
                             const std::string& delta_sha256, absl::Time now);
  absl::Status CompleteNotWorthwhile(const Claim& claim, absl::Time now);

  absl::StatusOr<int64_t> CountWaiting();

  // Forgets deltas that nobody has asked for since `before`, and what was found not worthwhile before then,
  // which may have changed. Returns the objects that have no name any more.
  absl::StatusOr<std::vector<std::string>> DeleteUnused(absl::Time before);
  // Whether some delta lies there.
  absl::StatusOr<bool> IsObject(const std::string& object);

 private:
  db::Database& database_;
  const Limits limits_;
};

}  // namespace countersign::package_store

#endif  // COUNTERSIGN_SERVICES_PACKAGE_STORE_STORAGE_DELTAS_H_
