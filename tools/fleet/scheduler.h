// Turns of many actors on few threads, each at its time.
#ifndef COUNTERSIGN_TOOLS_FLEET_SCHEDULER_H_
#define COUNTERSIGN_TOOLS_FLEET_SCHEDULER_H_

#include <functional>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/clock/clock.h"

namespace countersign::fleet {

// An actor has one turn at a time. Thread-safe.
class Scheduler {
 public:
  // What an actor does in a turn; returns when its next one is, InfiniteFuture for when it is woken.
  using Turn = std::function<absl::Time(int actor)>;

  // Actors are numbers from 0 to `actors`, exclusive. `clock` outlives it.
  Scheduler(int actors, int threads, const Clock& clock, Turn turn);
  ~Scheduler();  // as Stop()
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // The actor's next turn is at `time`, or earlier if that was planned. One who has its turn has another
  // after it, then or earlier.
  void Wake(int actor, absl::Time time);

  // No further turn begins; returns when none runs. Idempotent.
  void Stop();

  // Turns that were due and did not begin, and for how long the first of them waits.
  std::pair<int, absl::Duration> Backlog() const;

 private:
  struct Actor {
    absl::Time next = absl::InfiniteFuture();
    bool running = false;
  };

  void Work();
  void Plan(int actor, absl::Time time) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Clock& clock_;
  const Turn turn_;
  mutable absl::Mutex mutex_;
  absl::CondVar changed_;
  std::vector<Actor> actors_ ABSL_GUARDED_BY(mutex_);
  std::set<std::pair<absl::Time, int>> queue_ ABSL_GUARDED_BY(mutex_);
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace countersign::fleet

#endif  // COUNTERSIGN_TOOLS_FLEET_SCHEDULER_H_
