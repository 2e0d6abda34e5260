// Prometheus metrics without Prometheus' headers.
//
//   auto decisions = registry.AddCounter("countersign_consent_decisions_total", "Decisions recorded.",
//   {"decision"}); decisions.With({"granted"}).Increment();
//
// Label values are bounded by design: states, codes and methods, never a device, a gateway or a user. As a
// backstop a family holds at most kMaxSeries series; what is over is counted in one series whose label values
// are all "overflow".
#ifndef COUNTERSIGN_COMMON_METRICS_METRICS_H_
#define COUNTERSIGN_COMMON_METRICS_METRICS_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace prometheus {
class Counter;
class Gauge;
class Histogram;
}  // namespace prometheus

namespace countersign::metrics {

inline constexpr int kMaxSeries = 1000;

// Handles are small, copied by value, thread-safe, and valid as long as their registry. Keep the handle of a
// hot series: With() takes a lock, the handle's methods are atomic operations.
class Counter {
 public:
  void Increment(double by = 1) const;  // by >= 0
  double Value() const;

 private:
  friend class CounterFamily;
  explicit Counter(prometheus::Counter* counter) : counter_(counter) {}
  prometheus::Counter* counter_;
};

class Gauge {
 public:
  void Set(double value) const;
  void Add(double by) const;  // may be negative
  double Value() const;

 private:
  friend class GaugeFamily;
  explicit Gauge(prometheus::Gauge* gauge) : gauge_(gauge) {}
  prometheus::Gauge* gauge_;
};

class Histogram {
 public:
  void Observe(double value) const;

 private:
  friend class HistogramFamily;
  explicit Histogram(prometheus::Histogram* histogram) : histogram_(histogram) {}
  prometheus::Histogram* histogram_;
};

namespace internal {
struct Family;
}

// Families are copied by value too. With() wants exactly as many values as the family has labels, in their
// order.
class CounterFamily {
 public:
  Counter With(const std::vector<std::string>& label_values = {}) const;

 private:
  friend class Registry;
  explicit CounterFamily(std::shared_ptr<internal::Family> family) : family_(std::move(family)) {}
  std::shared_ptr<internal::Family> family_;
};

class GaugeFamily {
 public:
  Gauge With(const std::vector<std::string>& label_values = {}) const;
  // Takes the series away, for values that do not come back (a rollout that is long over). Handles of it must
  // not be used any more.
  void Remove(const std::vector<std::string>& label_values) const;

 private:
  friend class Registry;
  explicit GaugeFamily(std::shared_ptr<internal::Family> family) : family_(std::move(family)) {}
  std::shared_ptr<internal::Family> family_;
};

class HistogramFamily {
 public:
  Histogram With(const std::vector<std::string>& label_values = {}) const;

 private:
  friend class Registry;
  explicit HistogramFamily(std::shared_ptr<internal::Family> family) : family_(std::move(family)) {}
  std::shared_ptr<internal::Family> family_;
};

// Seconds, from 0.5 ms to 60 s.
const std::vector<double>& LatencyBuckets();

class Registry {
 public:
  Registry();
  ~Registry();
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  // The registry of the process: what a service's /metrics shows.
  static Registry& Default();

  // A name that was added before with the same labels gives the same family again; with other labels or as
  // another kind it aborts, since that is a programmer's error.
  CounterFamily AddCounter(absl::string_view name, absl::string_view help,
                           const std::vector<std::string>& labels = {});
  GaugeFamily AddGauge(absl::string_view name, absl::string_view help,
                       const std::vector<std::string>& labels = {});
  HistogramFamily AddHistogram(absl::string_view name, absl::string_view help,
                               const std::vector<std::string>& labels = {},
                               const std::vector<double>& buckets = LatencyBuckets());

  // `refresh` runs before every Serialize(), on its thread, for gauges that are read and not counted. It must
  // not block for long, and what it uses must outlive the registry.
  void OnSerialize(std::function<void()> refresh);

  // Prometheus' text exposition format.
  std::string Serialize() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// process_cpu_seconds_total, process_resident_memory_bytes, process_open_fds, process_max_fds,
// process_start_time_seconds.
void AddProcessMetrics(Registry& registry);

}  // namespace countersign::metrics

#endif  // COUNTERSIGN_COMMON_METRICS_METRICS_H_
