#ifndef COUNTERSIGN_COMMON_FEED_FOLLOWER_METRICS_H_
#define COUNTERSIGN_COMMON_FEED_FOLLOWER_METRICS_H_

#include <functional>
#include <string>

#include "common/feed/follower.h"
#include "common/metrics/metrics.h"

namespace countersign::feed {

// Names, in full so that whoever looks for a metric finds it.
struct FollowerMetrics {
  const char* lag_seconds;
  const char* events_total;
};

// An observer that keeps both metrics, with the label `source`, and calls `on_change` after each batch that
// was applied.
std::function<void(const Follower::Observation&)> MeasuredFollower(const FollowerMetrics& names,
                                                                   const std::string& source,
                                                                   metrics::Registry& registry,
                                                                   std::function<void()> on_change);

}  // namespace countersign::feed

#endif  // COUNTERSIGN_COMMON_FEED_FOLLOWER_METRICS_H_
