#include "tools/fleet/scheduler.h"

#include <algorithm>

namespace countersign::fleet {
namespace {

// The longest wait before the clock is asked again: it may have been set.
constexpr absl::Duration kLongestWait = absl::Seconds(1);

}  // namespace

Scheduler::Scheduler(int actors, int threads, const Clock& clock, Turn turn)
    : clock_(clock), turn_(std::move(turn)), actors_(actors) {
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Work(); });
}

Scheduler::~Scheduler() { Stop(); }

void Scheduler::Wake(int actor, absl::Time time) {
  absl::MutexLock lock(&mutex_);
  Plan(actor, time);
}

void Scheduler::Plan(int actor, absl::Time time) {
  Actor& known = actors_[actor];
  if (time >= known.next) return;
  if (!known.running) {
    queue_.erase({known.next, actor});
    queue_.insert({time, actor});
    if (queue_.begin()->second == actor) changed_.Signal();
  }
  known.next = time;
}

void Scheduler::Work() {
  absl::MutexLock lock(&mutex_);
  while (!stopped_) {
    const absl::Time now = clock_.Now();
    if (queue_.empty() || queue_.begin()->first > now) {
      absl::Duration wait = kLongestWait;
      if (!queue_.empty()) wait = std::min(wait, queue_.begin()->first - now);
      changed_.WaitWithTimeout(&mutex_, wait);
      continue;
    }
    const int actor = queue_.begin()->second;
    queue_.erase(queue_.begin());
    // Another thread waits for the one that is first now.
    if (!queue_.empty()) changed_.Signal();
    actors_[actor] = {.next = absl::InfiniteFuture(), .running = true};
    mutex_.Unlock();
    const absl::Time next = turn_(actor);
    mutex_.Lock();
    Actor& known = actors_[actor];
    known.running = false;
    const absl::Time soonest = std::min(next, known.next);
    known.next = absl::InfiniteFuture();
    Plan(actor, soonest);
  }
}

void Scheduler::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    stopped_ = true;
    changed_.SignalAll();
  }
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

std::pair<int, absl::Duration> Scheduler::Backlog() const {
  absl::MutexLock lock(&mutex_);
  const absl::Time now = clock_.Now();
  int due = 0;
  for (const auto& [time, actor] : queue_) {
    if (time > now) break;
    ++due;
  }
  return {due, due == 0 ? absl::ZeroDuration() : now - queue_.begin()->first};
}

}  // namespace countersign::fleet
