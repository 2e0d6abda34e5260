// A bounded pool of threads: where handlers run that may block (on the database, on another service).
#ifndef COUNTERSIGN_COMMON_RPC_EXECUTOR_H_
#define COUNTERSIGN_COMMON_RPC_EXECUTOR_H_

#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace countersign::rpc {

// Thread-safe. Tasks start in the order of submission and must not throw.
class Executor {
 public:
  // `threads` > 0. `max_queued` bounds the tasks that wait; `retry_delay` is what a refused caller is told to
  // wait.
  Executor(int threads, int max_queued, absl::Duration retry_delay = absl::Milliseconds(200));

  // Runs every task that was accepted, then joins.
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  // Takes new work. RESOURCE_EXHAUSTED (reason SERVER_BUSY, with a retry delay) when the queue is full; the
  // task is then dropped unrun.
  absl::Status TrySubmit(std::function<void()> task);

  // Takes the continuation of work that was admitted already (the next message of an open stream), whatever
  // the queue's length.
  void Submit(std::function<void()> task);

  int queued() const;

 private:
  void Work();

  const int max_queued_;
  const absl::Duration retry_delay_;
  mutable absl::Mutex mutex_;
  std::deque<std::function<void()>> queue_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace countersign::rpc

#endif  // COUNTERSIGN_COMMON_RPC_EXECUTOR_H_
