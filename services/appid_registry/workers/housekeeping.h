#ifndef COUNTERSIGN_SERVICES_APPID_REGISTRY_WORKERS_HOUSEKEEPING_H_
#define COUNTERSIGN_SERVICES_APPID_REGISTRY_WORKERS_HOUSEKEEPING_H_

#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/clock/clock.h"
#include "common/db/database.h"

namespace countersign::appid_registry {

// Deletes the records of requests that nobody repeats any more.
class Housekeeping {
 public:
  struct Options {
    absl::Duration interval = absl::Hours(1);
    absl::Duration request_id_retention = absl::Hours(48);
    const Clock* clock = &SystemClock();
  };

  // `database` must outlive it. Starts at once; a failure is logged and tried again at the next interval.
  Housekeeping(db::Database& database, Options options);
  ~Housekeeping();
  Housekeeping(const Housekeeping&) = delete;
  Housekeeping& operator=(const Housekeeping&) = delete;

 private:
  void Work();

  db::Database& database_;
  const Options options_;
  absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // last: it uses the others
};

}  // namespace countersign::appid_registry

#endif  // COUNTERSIGN_SERVICES_APPID_REGISTRY_WORKERS_HOUSEKEEPING_H_
