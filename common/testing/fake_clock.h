#ifndef COUNTERSIGN_COMMON_TESTING_FAKE_CLOCK_H_
#define COUNTERSIGN_COMMON_TESTING_FAKE_CLOCK_H_

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/clock/clock.h"

namespace countersign {

// A clock that stands still until a test moves it. Thread-safe.
class FakeClock : public Clock {
 public:
  // 2026-01-01T00:00:00Z unless told otherwise: late enough that no test depends on the epoch.
  explicit FakeClock(absl::Time start = absl::FromUnixSeconds(1767225600)) : now_(start) {}

  absl::Time Now() const override {
    absl::MutexLock lock(&mutex_);
    return now_;
  }

  void Advance(absl::Duration by) {
    absl::MutexLock lock(&mutex_);
    now_ += by;
  }

  void Set(absl::Time now) {
    absl::MutexLock lock(&mutex_);
    now_ = now;
  }

 private:
  mutable absl::Mutex mutex_;
  absl::Time now_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace countersign

#endif  // COUNTERSIGN_COMMON_TESTING_FAKE_CLOCK_H_
