#ifndef COUNTERSIGN_COMMON_WORKER_PERIODIC_H_
#define COUNTERSIGN_COMMON_WORKER_PERIODIC_H_

#include <functional>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace countersign {

// Runs `round` at once and then every `interval`, on a thread of its own, until it is destroyed. A round that
// fails is logged and tried again at the next interval.
class Periodic {
 public:
  Periodic(absl::string_view name, absl::Duration interval, std::function<absl::Status()> round);
  // Waits for a round that runs.
  ~Periodic();
  Periodic(const Periodic&) = delete;
  Periodic& operator=(const Periodic&) = delete;

 private:
  void Work();

  const std::string name_;
  const absl::Duration interval_;
  const std::function<absl::Status()> round_;
  absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // last: it uses the others
};

}  // namespace countersign

#endif  // COUNTERSIGN_COMMON_WORKER_PERIODIC_H_
