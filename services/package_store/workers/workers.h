#ifndef COUNTERSIGN_SERVICES_PACKAGE_STORE_WORKERS_WORKERS_H_
#define COUNTERSIGN_SERVICES_PACKAGE_STORE_WORKERS_WORKERS_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/clock/clock.h"
#include "common/db/database.h"
#include "common/metrics/metrics.h"
#include "services/package_store/storage/images.h"
#include "services/package_store/storage/proposals.h"
#include "services/package_store/storage/publications.h"
#include "services/package_store/storage/transparency_log.h"

// What runs by itself. Each class is one round of work, which a Periodic repeats; every replica runs all of
// it.
namespace countersign::package_store {

// Keeps timestamp and snapshot fresh, and shows how fresh all metadata is:
//   countersign_package_store_metadata_expiry_seconds{role}  until the role's metadata in force expires,
//   negative
//     afterwards; roles root, targets, snapshot, timestamp, and "delegated" for the first of the
//     manufacturers'
//   countersign_package_store_renewals_total{role}           timestamps and snapshots signed again on
//   schedule, here countersign_package_store_proposals{state}               proposals by state
class Renewal {
 public:
  // All outlive it and the registry.
  Renewal(Publications& publications, Proposals& proposals, const Clock& clock, metrics::Registry& registry);

  absl::Status Round();

 private:
  struct Expiries;

  Publications& publications_;
  Proposals& proposals_;
  const Clock& clock_;
  const std::shared_ptr<Expiries> expiries_;
  const metrics::CounterFamily renewals_;
  const metrics::GaugeFamily proposals_by_state_;
};

// Removes what nobody needs any more: uploads that were abandoned, images that were never recorded, old
// snapshots, and records of requests that nobody repeats.
class Cleanup {
 public:
  // An upload is abandoned when nobody has written to it for `upload_age`.
  Cleanup(db::Database& database, Publications& publications, Images& images, const Clock& clock,
          absl::Duration upload_age)
      : database_(database),
        publications_(publications),
        images_(images),
        clock_(clock),
        upload_age_(upload_age) {}

  absl::Status Round();

 private:
  db::Database& database_;
  Publications& publications_;
  Images& images_;
  const Clock& clock_;
  const absl::Duration upload_age_;
};

// Watches over the transparency log, and keeps its head beside the images should a publication have failed to:
//   countersign_package_store_log_entries             how many it has
//   countersign_package_store_log_last_entry_seconds  since the last of them
//   countersign_package_store_log_inconsistent        1 when it does not continue the last head that was signed:
//     nothing is published
class LogKeeper {
 public:
  // All outlive it and the registry.
  LogKeeper(TransparencyLog& log, const Clock& clock, metrics::Registry& registry);

  absl::Status Round();
  // What the last round came to.
  absl::Status LastRound() const;

 private:
  struct Seen;

  TransparencyLog& log_;
  const std::shared_ptr<Seen> seen_;
};

}  // namespace countersign::package_store

#endif  // COUNTERSIGN_SERVICES_PACKAGE_STORE_WORKERS_WORKERS_H_
