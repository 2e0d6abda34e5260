#ifndef COUNTERSIGN_COMMON_FEED_FOLLOWER_METRICS_H_
#define COUNTERSIGN_COMMON_FEED_FOLLOWER_METRICS_H_

#include <functional>
#include <string>

#include "absl/strings/string_view.h"
#include "common/feed/follower.h"
#include "common/metrics/metrics.h"

namespace countersign::feed {

// An observer that keeps `countersign_<service>_feed_lag_seconds{source}` and
// `countersign_<service>_feed_events_total{source}`, and calls `on_change` after each batch that was applied.
std::function<void(const Follower::Observation&)> MeasuredFollower(absl::string_view service,
                                                                   const std::string& source,
                                                                   metrics::Registry& registry,
                                                                   std::function<void()> on_change);

}  // namespace countersign::feed

#endif  // COUNTERSIGN_COMMON_FEED_FOLLOWER_METRICS_H_
