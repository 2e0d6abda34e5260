#ifndef COUNTERSIGN_SERVICES_CONSENT_WORKERS_HOUSEKEEPING_H_
#define COUNTERSIGN_SERVICES_CONSENT_WORKERS_HOUSEKEEPING_H_

#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/clock/clock.h"
#include "common/db/database.h"
#include "common/feed/tail.h"
#include "services/consent/storage/consent_store.h"

namespace countersign::consent {

// What happens by itself: grants expire, deferred questions come back, questions that nobody answers are
// closed, and old events and request ids are forgotten. Every replica may run it: each gateway's changes hold
// its lock, and look again whether there is something to do.
class Housekeeping {
 public:
  struct Options {
    absl::Duration interval = absl::Seconds(1);
    absl::Duration event_retention = absl::Hours(7 * 24);
    absl::Duration request_id_retention = absl::Hours(3 * 24);
    const Clock* clock = &SystemClock();
  };

  // Starts at once. What it is given outlives it.
  Housekeeping(db::Database& database, ConsentStore& store, feed::Tail& tail, Options options);
  ~Housekeeping();
  Housekeeping(const Housekeeping&) = delete;
  Housekeeping& operator=(const Housekeeping&) = delete;

 private:
  void Work();
  absl::Status ApplyDue();
  absl::Status Forget();

  db::Database& database_;
  ConsentStore& store_;
  feed::Tail& tail_;
  const Options options_;
  absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // last: it uses the others
};

}  // namespace countersign::consent

#endif  // COUNTERSIGN_SERVICES_CONSENT_WORKERS_HOUSEKEEPING_H_
