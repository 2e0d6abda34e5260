#ifndef COUNTERSIGN_SERVICES_INVENTORY_WORKERS_INTEGRITY_H_
#define COUNTERSIGN_SERVICES_INVENTORY_WORKERS_INTEGRITY_H_

#include <optional>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/clock/clock.h"
#include "services/inventory/domain/image_verdict.h"
#include "services/inventory/storage/published_images.h"

namespace countersign::inventory {

// Looks again at components after news of packages (FOTA-R2), and orders to stop what the policy says
// (FOTA-R3). Every replica runs it; they share the work by locks. Thread-safe.
class Integrity {
 public:
  // What it is given must outlive it. Starts at once; a failure is logged and tried again at the next
  // interval.
  Integrity(PublishedImages& images, domain::QuarantinePolicy policy, const Clock& clock,
            absl::Duration interval = absl::Seconds(5));
  ~Integrity();
  Integrity(const Integrity&) = delete;
  Integrity& operator=(const Integrity&) = delete;

  // There may be something to do: look now. Must not block, and does not.
  void Nudge();

 private:
  void Work();
  absl::Status Round();

  PublishedImages& images_;
  const domain::QuarantinePolicy policy_;
  const Clock& clock_;
  const absl::Duration interval_;
  absl::Mutex mutex_;
  bool nudged_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // last: it uses the others
};

}  // namespace countersign::inventory

#endif  // COUNTERSIGN_SERVICES_INVENTORY_WORKERS_INTEGRITY_H_
