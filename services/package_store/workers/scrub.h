#ifndef COUNTERSIGN_SERVICES_PACKAGE_STORE_WORKERS_SCRUB_H_
#define COUNTERSIGN_SERVICES_PACKAGE_STORE_WORKERS_SCRUB_H_

#include <cstdint>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/clock/clock.h"
#include "common/metrics/metrics.h"
#include "services/package_store/storage/image_health.h"

namespace countersign::package_store {

// Reads every image again once in a period and compares it with its digest, so that a flipped bit, a
// truncated or a missing image is found before somebody needs it:
//   countersign_package_store_damaged_images                 known to be damaged and not yet repaired
//   countersign_package_store_scrubbed_images_total{result}  read by this replica: intact, damaged
//   countersign_package_store_scrubbed_bytes_total           read by this replica
class Scrub {
 public:
  struct Options {
    int64_t bytes_per_second = 0;
    absl::Duration period;
  };
  // All outlive it.
  Scrub(ImageHealth& health, const Clock& clock, metrics::Registry& registry, const Options& options);

  // Reads what is due; returns at its end, or soon after Stop(), which loses nothing of what was read.
  absl::Status Round();
  // Thread-safe.
  void Stop();

 private:
  // How a reading of an image ended.
  enum class End { kRead, kShort, kStopped };
  // Reads from where the turn is to the end of the image; its state is at the end then, and its digest in
  // `*found`.
  absl::StatusOr<End> Read(ImageHealth::Turn& turn, std::string* found);
  absl::Status Examine(ImageHealth::Turn& turn);
  // Waits as long as so many bytes take; false when it is stopped.
  bool Pace(int64_t bytes);

  ImageHealth& health_;
  const Clock& clock_;
  const Options options_;
  const metrics::Gauge damaged_;
  const metrics::CounterFamily images_;
  const metrics::Counter bytes_;
  absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace countersign::package_store

#endif  // COUNTERSIGN_SERVICES_PACKAGE_STORE_WORKERS_SCRUB_H_
