#ifndef COUNTERSIGN_COMMON_DB_COALESCING_WRITER_H_
#define COUNTERSIGN_COMMON_DB_COALESCING_WRITER_H_

#include <algorithm>
#include <cstddef>
#include <deque>
#include <functional>
#include <iterator>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/span.h"
#include "common/status/errors.h"

namespace countersign::db {

// Gathers the writes of concurrent requests into few transactions. While one batch commits the next one
// gathers, so a lone write waits for nothing and many share a commit. Thread-safe.
//
// Each item's `done` is called exactly once, after the commit (or the failure) of the batch that had it, on
// the writer's thread: it must not block. It gets the item back, so that `flush` can leave a result in it.
template <typename Item>
class CoalescingWriter {
 public:
  // Writes `items` in one transaction (usually RunInTransaction over unnest arrays). `outcomes` has one OK
  // per item; setting another refuses that item alone: the flush must not have written it. A returned error
  // says that nothing of the batch was written. It may be called again with the same items, or fewer of them.
  // For items that meet the same row, order matters: they come in the order of Submit, and rows are best
  // locked in the order of their keys.
  using Flush = std::function<absl::Status(absl::Span<Item> items, absl::Span<absl::Status> outcomes)>;
  using Done = std::function<void(absl::Status status, Item& item)>;

  struct Options {
    std::size_t max_batch = 500;
    std::size_t max_queued = 10000;
    // A batch ends before the item with which it would weigh more, so that one transaction does not hold its
    // locks for long; an item that weighs more by itself goes alone. Without `weigh` nothing is weighed.
    std::size_t max_batch_weight = 0;
    std::function<std::size_t(const Item&)> weigh = nullptr;
    // How long a batch that is not full waits for more.
    absl::Duration linger = absl::ZeroDuration();
  };

  CoalescingWriter(Options options, Flush flush);
  ~CoalescingWriter() { Stop(); }

  CoalescingWriter(const CoalescingWriter&) = delete;
  CoalescingWriter& operator=(const CoalescingWriter&) = delete;

  // Never blocks. When the queue is full `done` is called at once, on this thread, with RESOURCE_EXHAUSTED /
  // WRITE_QUEUE_FULL; after Stop with UNAVAILABLE / SHUTTING_DOWN.
  void Submit(Item item, Done done);

  // Writes what is queued, and returns when every `done` has been called. Not to be called from a `done`.
  void Stop();

  std::size_t queued() const {
    absl::MutexLock lock(&mutex_);
    return queue_.size();
  }

 private:
  struct Entry {
    Item item;
    Done done;
  };

  void Work();
  void Write(absl::Span<Item> items, absl::Span<absl::Status> outcomes);

  const Options options_;
  const Flush flush_;
  mutable absl::Mutex mutex_;
  std::deque<Entry> queue_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Mutex join_mutex_;
  std::thread thread_;  // last: it uses the others
};

// Whether a failure may be one item's fault, so that the others are worth trying without it. The database
// being away, busy, or in doubt is nobody's fault.
bool MayBeOneItemsFault(absl::StatusCode code);

template <typename Item>
CoalescingWriter<Item>::CoalescingWriter(Options options, Flush flush)
    : options_(std::move(options)), flush_(std::move(flush)), thread_([this] { Work(); }) {}

template <typename Item>
void CoalescingWriter<Item>::Submit(Item item, Done done) {
  absl::Status refusal;
  {
    absl::MutexLock lock(&mutex_);
    if (stopping_) {
      refusal = Error(absl::StatusCode::kUnavailable, "SHUTTING_DOWN",
                      "This replica is shutting down; send the request again to another one.");
    } else if (queue_.size() >= options_.max_queued) {
      refusal = Error(absl::StatusCode::kResourceExhausted, "WRITE_QUEUE_FULL",
                      "More writes are waiting than this replica takes; try again after a delay.");
    } else {
      queue_.push_back({std::move(item), std::move(done)});
      return;
    }
  }
  done(std::move(refusal), item);
}

template <typename Item>
void CoalescingWriter<Item>::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  absl::MutexLock lock(&join_mutex_);
  if (thread_.joinable()) thread_.join();
}

template <typename Item>
void CoalescingWriter<Item>::Work() {
  std::vector<Item> items;
  std::vector<Done> dones;
  std::vector<absl::Status> outcomes;
  while (true) {
    items.clear();
    dones.clear();
    {
      absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(
          +[](CoalescingWriter* self) ABSL_EXCLUSIVE_LOCKS_REQUIRED(self->mutex_) {
            return self->stopping_ || !self->queue_.empty();
          },
          this));
      if (options_.linger > absl::ZeroDuration()) {
        mutex_.AwaitWithTimeout(absl::Condition(
                                    +[](CoalescingWriter* self) ABSL_EXCLUSIVE_LOCKS_REQUIRED(self->mutex_) {
                                      return self->stopping_ ||
                                             self->queue_.size() >= self->options_.max_batch;
                                    },
                                    this),
                                options_.linger);
      }
      if (queue_.empty()) return;
      std::size_t weight = 0;
      while (!queue_.empty() && items.size() < options_.max_batch) {
        if (options_.weigh != nullptr) {
          weight += options_.weigh(queue_.front().item);
          if (weight > options_.max_batch_weight && !items.empty()) break;
        }
        items.push_back(std::move(queue_.front().item));
        dones.push_back(std::move(queue_.front().done));
        queue_.pop_front();
      }
    }
    outcomes.assign(items.size(), absl::OkStatus());
    Write(absl::MakeSpan(items), absl::MakeSpan(outcomes));
    for (std::size_t i = 0; i < items.size(); ++i) dones[i](std::move(outcomes[i]), items[i]);
  }
}

template <typename Item>
void CoalescingWriter<Item>::Write(absl::Span<Item> items, absl::Span<absl::Status> outcomes) {
  const absl::Status status = flush_(items, outcomes);
  if (status.ok()) return;
  std::fill(outcomes.begin(), outcomes.end(), absl::OkStatus());
  if (items.size() == 1 || !MayBeOneItemsFault(status.code())) {
    std::fill(outcomes.begin(), outcomes.end(), status);
    return;
  }
  // Halving finds one bad item among 500 with 18 further transactions.
  const std::size_t half = items.size() / 2;
  Write(items.subspan(0, half), outcomes.subspan(0, half));
  Write(items.subspan(half), outcomes.subspan(half));
}

}  // namespace countersign::db

#endif  // COUNTERSIGN_COMMON_DB_COALESCING_WRITER_H_
