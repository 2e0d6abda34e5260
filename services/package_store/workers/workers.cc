#include "services/package_store/workers/workers.h"

#include <map>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/strings/ascii.h"
#include "absl/synchronization/mutex.h"
#include "common/db/request_ids.h"
#include "common/feed/outbox.h"
#include "common/log/log.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/tlog/reasons.h"
#include "services/package_store/domain/proposal_state.h"

namespace countersign::package_store {
namespace {

// Longer than any client repeats a request.
constexpr absl::Duration kRequestIdAge = absl::Hours(7 * 24);
// Who watches and was away for longer lists the packages anew.
constexpr absl::Duration kEventAge = absl::Hours(7 * 24);

}  // namespace

// The registry may outlive the worker: what it reads is shared.
struct Renewal::Expiries {
  absl::Mutex mutex;
  std::map<std::string, absl::Time> by_role ABSL_GUARDED_BY(mutex);
};

Renewal::Renewal(Publications& publications, Proposals& proposals, const Clock& clock,
                 metrics::Registry& registry)
    : publications_(publications),
      proposals_(proposals),
      clock_(clock),
      expiries_(std::make_shared<Expiries>()),
      renewals_(registry.AddCounter("countersign_package_store_renewals_total",
                                    "Timestamps and snapshots that this replica signed again on schedule.",
                                    {"role"})),
      proposals_by_state_(
          registry.AddGauge("countersign_package_store_proposals", "Proposals by state.", {"state"})) {
  const metrics::GaugeFamily gauge = registry.AddGauge(
      "countersign_package_store_metadata_expiry_seconds",
      "Seconds until the metadata in force expires; 'delegated' is the first of the manufacturers' roles.",
      {"role"});
  registry.OnSerialize([gauge, &clock, expiries = expiries_] {
    absl::MutexLock lock(&expiries->mutex);
    for (const auto& [role, time] : expiries->by_role) {
      gauge.With({role}).Set(absl::ToDoubleSeconds(time - clock.Now()));
    }
  });
}

absl::Status Renewal::Round() {
  ASSIGN_OR_RETURN(const Publications::Renewal renewal, publications_.RenewIfDue(clock_.Now()));
  if (renewal != Publications::Renewal::kNotDue) {
    const bool snapshot_too = renewal == Publications::Renewal::kSnapshotAndTimestamp;
    renewals_.With({kTimestampRole}).Increment();
    if (snapshot_too) renewals_.With({kSnapshotRole}).Increment();
    log::Info("signed again ahead of expiry",
              {{"role", snapshot_too ? "snapshot and timestamp" : "timestamp"}});
  }
  ASSIGN_OR_RETURN(auto expiries, publications_.Expiries());
  {
    absl::MutexLock lock(&expiries_->mutex);
    expiries_->by_role = std::move(expiries);
  }
  ASSIGN_OR_RETURN(auto counts, proposals_.CountByState());
  for (ProposalState state : {ProposalState::kAwaitingApproval, ProposalState::kApproved,
                              ProposalState::kRefused, ProposalState::kSuperseded}) {
    proposals_by_state_.With({absl::AsciiStrToLower(ProposalStateName(state))}).Set(counts[state]);
  }
  return absl::OkStatus();
}

// The registry may outlive the worker: what it reads is shared.
struct LogKeeper::Seen {
  absl::Mutex mutex;
  absl::Status status ABSL_GUARDED_BY(mutex) = absl::UnavailableError("the log has not been looked at yet");
  TransparencyLog::State state ABSL_GUARDED_BY(mutex);
};

LogKeeper::LogKeeper(TransparencyLog& log, const Clock& clock, metrics::Registry& registry)
    : log_(log), seen_(std::make_shared<Seen>()) {
  const metrics::GaugeFamily entries =
      registry.AddGauge("countersign_package_store_log_entries", "Entries of the transparency log.");
  const metrics::GaugeFamily age = registry.AddGauge("countersign_package_store_log_last_entry_seconds",
                                                     "Seconds since the transparency log's last entry.");
  const metrics::GaugeFamily inconsistent = registry.AddGauge(
      "countersign_package_store_log_inconsistent",
      "1 when the transparency log does not continue the last head that was signed: nothing is published.");
  registry.OnSerialize([entries, age, inconsistent, &clock, seen = seen_] {
    absl::MutexLock lock(&seen->mutex);
    inconsistent.With().Set(ReasonOf(seen->status) == tlog::kInconsistent ? 1 : 0);
    entries.With().Set(static_cast<double>(seen->state.size));
    if (seen->state.size > 0) age.With().Set(absl::ToDoubleSeconds(clock.Now() - seen->state.last_entry));
  });
}

absl::Status LogKeeper::Round() {
  const absl::StatusOr<TransparencyLog::State> state = log_.Inspect();
  absl::MutexLock lock(&seen_->mutex);
  seen_->status = state.status();
  if (state.ok()) seen_->state = *state;
  return state.status();
}

absl::Status LogKeeper::LastRound() const {
  absl::MutexLock lock(&seen_->mutex);
  return seen_->status;
}

absl::Status Cleanup::Round() {
  const absl::Time now = clock_.Now();
  ASSIGN_OR_RETURN(const int uploads, images_.DeleteAbandoned(now - upload_age_));
  ASSIGN_OR_RETURN(const int64_t snapshots, publications_.DeleteOldSnapshots(now));
  RETURN_IF_ERROR(db::PurgeRequestIds(database_, now - kRequestIdAge).status());
  RETURN_IF_ERROR(feed::Trim(database_, now - kEventAge).status());
  if (uploads > 0 || snapshots > 0) {
    log::Info("removed what nobody needs any more", {{"uploads", uploads}, {"snapshots", snapshots}});
  }
  return absl::OkStatus();
}

}  // namespace countersign::package_store
