#ifndef COUNTERSIGN_SERVICES_ROLLOUT_WORKERS_LOOP_H_
#define COUNTERSIGN_SERVICES_ROLLOUT_WORKERS_LOOP_H_

#include <functional>
#include <stop_token>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace countersign::rollout {

// A thread that does rounds of work: at once when the last round says that there is more, or when it is
// nudged, else at the next interval; after a failure, which it logs, with growing delay. Every replica runs
// it: a round finds its work in the database, and shares it by locks.
class Loop {
 public:
  // Whether there is more to do at once. It returns soon after `stop` is requested.
  using Round = std::function<absl::StatusOr<bool>(std::stop_token stop)>;

  Loop(std::string name, absl::Duration interval, Round round);
  ~Loop() { Stop(); }
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  void Nudge();
  // Returns when no round runs.
  void Stop();

 private:
  void Work(std::stop_token stop);
  void Wait(absl::Duration delay);

  const std::string name_;
  const absl::Duration interval_;
  const Round round_;
  absl::Mutex mutex_;
  bool nudged_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Mutex join_mutex_;
  std::jthread thread_;  // last: it uses the others
};

}  // namespace countersign::rollout

#endif  // COUNTERSIGN_SERVICES_ROLLOUT_WORKERS_LOOP_H_
