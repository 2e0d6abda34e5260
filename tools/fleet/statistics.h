// What a run counts: calls with their latencies and errors, and whatever has a name.
#ifndef COUNTERSIGN_TOOLS_FLEET_STATISTICS_H_
#define COUNTERSIGN_TOOLS_FLEET_STATISTICS_H_

#include <array>
#include <cstdint>
#include <map>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace countersign::fleet {

// Durations in buckets that are 5 % wide, from 10 us to two minutes: quantiles are exact to that, whatever
// was observed, in constant memory. Not thread-safe.
class Latencies {
 public:
  void Add(absl::Duration duration);
  int64_t count() const { return count_; }
  // The upper edge of the bucket with the `quantile` (0 to 1); zero if nothing was observed.
  absl::Duration Quantile(double quantile) const;

 private:
  static constexpr int kBuckets = 340;
  std::array<int64_t, kBuckets> buckets_ = {};
  int64_t count_ = 0;
};

// Thread-safe.
class Statistics {
 public:
  // `name` counts `by` more.
  void Add(absl::string_view name, int64_t by = 1);
  int64_t Get(absl::string_view name) const;
  // A call of `method` ended so.
  void Call(absl::string_view method, const absl::Status& status, absl::Duration duration);

  // {"counts": {name: n}, "calls": {method: {"count", "errors": {reason: n}, "p50_ms", "p95_ms", "p99_ms"}},
  // "cpu_seconds", "resident_bytes"} of this process, as JSON.
  std::string ToJson() const;

 private:
  struct Method {
    int64_t count = 0;
    Latencies latencies;  // of those that ended well
    std::map<std::string, int64_t> errors;
  };
  mutable absl::Mutex mutex_;
  std::map<std::string, int64_t, std::less<>> counts_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, Method, std::less<>> methods_ ABSL_GUARDED_BY(mutex_);
};

// CPU time that this process has used, and its resident memory now.
double OwnCpuSeconds();
int64_t OwnResidentBytes();

}  // namespace countersign::fleet

#endif  // COUNTERSIGN_TOOLS_FLEET_STATISTICS_H_
