#include "common/rpc/executor.h"

#include <utility>

#include "common/rpc/status_grpc.h"
#include "common/status/errors.h"

namespace countersign::rpc {

Executor::Executor(int threads, int max_queued, absl::Duration retry_delay)
    : max_queued_(max_queued), retry_delay_(retry_delay) {
  threads_.reserve(threads);
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Work(); });
}

Executor::~Executor() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  for (std::thread& thread : threads_) thread.join();
}

absl::Status Executor::TrySubmit(std::function<void()> task) {
  {
    absl::MutexLock lock(&mutex_);
    if (static_cast<int>(queue_.size()) < max_queued_) {
      queue_.push_back(std::move(task));
      return absl::OkStatus();
    }
  }
  return WithRetryDelay(Error(absl::StatusCode::kResourceExhausted, "SERVER_BUSY",
                              "the server has more work than it can queue; try again later"),
                        retry_delay_);
}

void Executor::Submit(std::function<void()> task) {
  absl::MutexLock lock(&mutex_);
  queue_.push_back(std::move(task));
}

int Executor::queued() const {
  absl::MutexLock lock(&mutex_);
  return static_cast<int>(queue_.size());
}

void Executor::Work() {
  while (true) {
    std::function<void()> task;
    {
      absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(
          +[](Executor* self) ABSL_EXCLUSIVE_LOCKS_REQUIRED(self->mutex_) {
            return self->stopping_ || !self->queue_.empty();
          },
          this));
      if (queue_.empty()) return;
      task = std::move(queue_.front());
      queue_.pop_front();
    }
    task();
  }
}

}  // namespace countersign::rpc
