#include "common/feed/follower_metrics.h"

#include <utility>

#include "absl/time/time.h"

namespace countersign::feed {

std::function<void(const Follower::Observation&)> MeasuredFollower(const FollowerMetrics& names,
                                                                   const std::string& source,
                                                                   metrics::Registry& registry,
                                                                   std::function<void()> on_change) {
  const metrics::Gauge lag =
      registry
          .AddGauge(names.lag_seconds, "Age of the last event that was taken from another service's feed.",
                    {"source"})
          .With({source});
  const metrics::Counter events =
      registry.AddCounter(names.events_total, "Events taken from feeds.", {"source"}).With({source});
  return [lag, events, on_change = std::move(on_change)](const Follower::Observation& observation) {
    if (observation.applied == 0) return;
    events.Increment(observation.applied);
    if (observation.lag.has_value()) lag.Set(absl::ToDoubleSeconds(*observation.lag));
    on_change();
  };
}

}  // namespace countersign::feed
