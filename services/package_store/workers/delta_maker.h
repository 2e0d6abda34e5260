#ifndef COUNTERSIGN_SERVICES_PACKAGE_STORE_WORKERS_DELTA_MAKER_H_
#define COUNTERSIGN_SERVICES_PACKAGE_STORE_WORKERS_DELTA_MAKER_H_

#include <atomic>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/clock/clock.h"
#include "common/metrics/metrics.h"
#include "services/package_store/storage/blob_store.h"
#include "services/package_store/storage/deltas.h"

namespace countersign::package_store {

// Makes the deltas that are wanted, one at a time, each by one of the replicas. The images come over to
// unnamed files in `scratch_dir`, where they are compared with their digests and mapped: what it allocates is
// at most delta::kMaxCreateMemory, and the disk needs room for both images and the delta.
//
//   countersign_package_store_deltas_total{outcome}    ready, not_worthwhile, failed (tried again), here
//   countersign_package_store_deltas_waiting           of all replicas
class DeltaMaker {
 public:
  struct Options {
    std::string scratch_dir;
    // Longer than the maker may be silent: it renews its claim as it goes, but not while it reads the old
    // image.
    absl::Duration lease = absl::Minutes(5);
  };
  // All outlive it.
  DeltaMaker(Deltas& deltas, BlobStore& blobs, const Clock& clock, metrics::Registry& registry,
             Options options);

  // Makes all that wait.
  absl::Status Round();

  // A round that runs ends soon, and what it was making is another replica's.
  void Stop() { stopping_ = true; }

  // Removes deltas that nobody has asked for since `unused_before`, and files without a record that are older
  // than `orphans_before`.
  absl::Status Cleanup(absl::Time unused_before, absl::Time orphans_before);

 private:
  absl::Status Make(const Deltas::Claim& claim);

  Deltas& deltas_;
  BlobStore& blobs_;
  const Clock& clock_;
  const Options options_;
  const metrics::CounterFamily outcomes_;
  const metrics::Gauge waiting_;
  std::atomic<bool> stopping_ = false;
};

}  // namespace countersign::package_store

#endif  // COUNTERSIGN_SERVICES_PACKAGE_STORE_WORKERS_DELTA_MAKER_H_
