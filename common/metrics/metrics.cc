#include "common/metrics/metrics.h"

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/metrics/check.h"
#include "prometheus/counter.h"
#include "prometheus/family.h"
#include "prometheus/gauge.h"
#include "prometheus/histogram.h"
#include "prometheus/registry.h"
#include "prometheus/text_serializer.h"

namespace countersign::metrics {
namespace internal {

enum class Kind { kCounter, kGauge, kHistogram };

struct Family {
  Kind kind;
  std::string name;
  std::vector<std::string> labels;
  std::vector<double> buckets;
  prometheus::Family<prometheus::Counter>* counters = nullptr;
  prometheus::Family<prometheus::Gauge>* gauges = nullptr;
  prometheus::Family<prometheus::Histogram>* histograms = nullptr;

  absl::Mutex mutex;
  std::map<std::vector<std::string>, void*> series ABSL_GUARDED_BY(mutex);
};

}  // namespace internal

namespace {

prometheus::Labels NamedLabels(const internal::Family& family, const std::vector<std::string>& values) {
  prometheus::Labels labels;
  for (size_t i = 0; i < values.size(); ++i) labels.emplace(family.labels[i], values[i]);
  return labels;
}

// Finds or makes the series of `values` by `make`, within the family's bound.
template <typename Metric, typename Make>
Metric* Series(internal::Family& family, const std::vector<std::string>& values, const Make& make) {
  CheckThat(values.size() == family.labels.size(), "a metric wants a value for each of its labels",
            family.name);
  absl::MutexLock lock(&family.mutex);
  if (auto found = family.series.find(values); found != family.series.end()) {
    return static_cast<Metric*>(found->second);
  }
  std::vector<std::string> kept = values;
  if (family.series.size() >= kMaxSeries) kept.assign(values.size(), "overflow");
  void*& metric = family.series[kept];
  if (metric == nullptr) metric = &make(NamedLabels(family, kept));
  return static_cast<Metric*>(metric);
}

}  // namespace

void Counter::Increment(double by) const { counter_->Increment(by); }
double Counter::Value() const { return counter_->Value(); }
void Gauge::Set(double value) const { gauge_->Set(value); }
void Gauge::Add(double by) const { gauge_->Increment(by); }
double Gauge::Value() const { return gauge_->Value(); }
void Histogram::Observe(double value) const { histogram_->Observe(value); }

Counter CounterFamily::With(const std::vector<std::string>& label_values) const {
  return Counter(Series<prometheus::Counter>(
      *family_, label_values, [this](const prometheus::Labels& labels) -> prometheus::Counter& {
        return family_->counters->Add(labels);
      }));
}

Gauge GaugeFamily::With(const std::vector<std::string>& label_values) const {
  return Gauge(Series<prometheus::Gauge>(*family_, label_values,
                                         [this](const prometheus::Labels& labels) -> prometheus::Gauge& {
                                           return family_->gauges->Add(labels);
                                         }));
}

void GaugeFamily::Remove(const std::vector<std::string>& label_values) const {
  absl::MutexLock lock(&family_->mutex);
  const auto found = family_->series.find(label_values);
  if (found == family_->series.end()) return;
  family_->gauges->Remove(static_cast<prometheus::Gauge*>(found->second));
  family_->series.erase(found);
}

Histogram HistogramFamily::With(const std::vector<std::string>& label_values) const {
  return Histogram(Series<prometheus::Histogram>(
      *family_, label_values, [this](const prometheus::Labels& labels) -> prometheus::Histogram& {
        return family_->histograms->Add(labels, family_->buckets);
      }));
}

const std::vector<double>& LatencyBuckets() {
  static const auto& buckets = *new std::vector<double>{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                                        0.25,   0.5,   1,      2.5,   5,    10,    30,   60};
  return buckets;
}

struct Registry::State {
  prometheus::Registry registry;
  mutable absl::Mutex mutex;
  std::map<std::string, std::shared_ptr<internal::Family>> families ABSL_GUARDED_BY(mutex);
  std::vector<std::function<void()>> refreshes ABSL_GUARDED_BY(mutex);

  std::shared_ptr<internal::Family> Add(internal::Kind kind, absl::string_view name, absl::string_view help,
                                        const std::vector<std::string>& labels,
                                        const std::vector<double>& buckets = {}) {
    absl::MutexLock lock(&mutex);
    std::shared_ptr<internal::Family>& family = families[std::string(name)];
    if (family != nullptr) {
      CheckThat(family->kind == kind && family->labels == labels,
                "a metric was added before as another kind or with other labels", name);
      return family;
    }
    family = std::make_shared<internal::Family>();
    family->kind = kind;
    family->name = std::string(name);
    family->labels = labels;
    family->buckets = buckets;
    const std::string text(help);
    switch (kind) {
      case internal::Kind::kCounter:
        family->counters = &prometheus::BuildCounter().Name(family->name).Help(text).Register(registry);
        break;
      case internal::Kind::kGauge:
        family->gauges = &prometheus::BuildGauge().Name(family->name).Help(text).Register(registry);
        break;
      case internal::Kind::kHistogram:
        family->histograms = &prometheus::BuildHistogram().Name(family->name).Help(text).Register(registry);
        break;
    }
    return family;
  }
};

Registry::Registry() : state_(std::make_unique<State>()) {}
Registry::~Registry() = default;

Registry& Registry::Default() {
  static Registry& registry = *new Registry();
  return registry;
}

CounterFamily Registry::AddCounter(absl::string_view name, absl::string_view help,
                                   const std::vector<std::string>& labels) {
  return CounterFamily(state_->Add(internal::Kind::kCounter, name, help, labels));
}

GaugeFamily Registry::AddGauge(absl::string_view name, absl::string_view help,
                               const std::vector<std::string>& labels) {
  return GaugeFamily(state_->Add(internal::Kind::kGauge, name, help, labels));
}

HistogramFamily Registry::AddHistogram(absl::string_view name, absl::string_view help,
                                       const std::vector<std::string>& labels,
                                       const std::vector<double>& buckets) {
  return HistogramFamily(state_->Add(internal::Kind::kHistogram, name, help, labels, buckets));
}

void Registry::OnSerialize(std::function<void()> refresh) {
  absl::MutexLock lock(&state_->mutex);
  state_->refreshes.push_back(std::move(refresh));
}

std::string Registry::Serialize() const {
  std::vector<std::function<void()>> refreshes;
  {
    // A copy: what a refresh calls may add metrics.
    absl::MutexLock lock(&state_->mutex);
    refreshes = state_->refreshes;
  }
  for (const std::function<void()>& refresh : refreshes) refresh();
  return prometheus::TextSerializer().Serialize(state_->registry.Collect());
}

}  // namespace countersign::metrics
