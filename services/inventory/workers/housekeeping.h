#ifndef COUNTERSIGN_SERVICES_INVENTORY_WORKERS_HOUSEKEEPING_H_
#define COUNTERSIGN_SERVICES_INVENTORY_WORKERS_HOUSEKEEPING_H_

#include <map>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/clock/clock.h"
#include "common/db/database.h"
#include "common/metrics/metrics.h"
#include "services/inventory/domain/component.h"
#include "services/inventory/storage/history.h"
#include "services/inventory/storage/inventory_store.h"
#include "services/inventory/storage/pending_devices.h"

namespace countersign::inventory {

// What runs by itself: counts for the metrics, makes the history's partitions ahead of time, and deletes what
// has been kept long enough.
class Housekeeping {
 public:
  struct Options {
    absl::Duration count_interval = absl::Seconds(15);
    absl::Duration purge_interval = absl::Hours(1);
    absl::Duration request_id_retention = absl::Hours(48);
    absl::Duration change_retention = absl::Hours(7 * 24);
    absl::Duration refused_report_retention = absl::Hours(90 * 24);
    int history_retention_months = 24;
    // How long a component may take to confirm that it has stopped before it is counted.
    absl::Duration quarantine_patience = absl::Minutes(15);
    const Clock* clock = &SystemClock();
  };

  // What it is given must outlive it. Starts at once; a failure is logged and tried again at the next
  // interval.
  Housekeeping(db::Database& database, InventoryStore& store, metrics::Registry& registry, Options options);
  ~Housekeeping();
  Housekeeping(const Housekeeping&) = delete;
  Housekeeping& operator=(const Housekeeping&) = delete;

  absl::Status CountStates();
  absl::Status Purge();
  // Sees to it that the history has its partitions for the months to come.
  absl::Status MakePartitions();

 private:
  void Work();

  db::Database& database_;
  InventoryStore& store_;
  const Options options_;
  History history_;
  PendingDevices pending_;
  std::map<domain::State, metrics::Gauge> gauges_;
  const metrics::Gauge unconfirmed_;
  const metrics::Gauge pending_count_;
  absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // last: it uses the others
};

}  // namespace countersign::inventory

#endif  // COUNTERSIGN_SERVICES_INVENTORY_WORKERS_HOUSEKEEPING_H_
