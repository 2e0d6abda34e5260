#ifndef COUNTERSIGN_SERVICES_ROLLOUT_WORKERS_HOUSEKEEPING_H_
#define COUNTERSIGN_SERVICES_ROLLOUT_WORKERS_HOUSEKEEPING_H_

#include <map>
#include <set>
#include <stop_token>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock/clock.h"
#include "common/db/database.h"
#include "common/metrics/metrics.h"
#include "services/rollout/api/hint_hub.h"
#include "services/rollout/storage/rollout_store.h"

namespace countersign::rollout {

// Counts assignments by phase for the metrics, and deletes what has been kept long enough.
class Housekeeping {
 public:
  struct Options {
    absl::Duration purge_interval = absl::Hours(1);
    absl::Duration request_id_retention = absl::Hours(48);
    absl::Duration hint_retention = absl::Hours(1);
    int rollouts_in_metrics = 20;  // the newest
    const Clock* clock = &SystemClock();
  };

  // What it is given must outlive it.
  Housekeeping(db::Database& database, RolloutStore& store, const HintHub& hub, metrics::Registry& registry,
               Options options);

  // A Loop's round.
  absl::StatusOr<bool> Round(std::stop_token stop);

 private:
  absl::Status Count();
  absl::Status Purge();

  db::Database& database_;
  RolloutStore& store_;
  const HintHub& hub_;
  const Options options_;
  const metrics::GaugeFamily assignments_;
  const metrics::Gauge streams_;
  std::map<std::string, std::set<std::string>> shown_;  // phases in the metrics, by rollout
  std::set<std::string> final_;                         // rollouts that are over, and counted since
  absl::Time purged_ = absl::InfinitePast();
};

}  // namespace countersign::rollout

#endif  // COUNTERSIGN_SERVICES_ROLLOUT_WORKERS_HOUSEKEEPING_H_
