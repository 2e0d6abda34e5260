#include "services/inventory/workers/housekeeping.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "common/db/request_ids.h"
#include "common/feed/outbox.h"
#include "common/log/log.h"
#include "common/status/macros.h"

namespace countersign::inventory {
namespace {

// A count that takes a second is done every 50 seconds.
constexpr int kCountRestFactor = 50;

}  // namespace

Housekeeping::Housekeeping(db::Database& database, InventoryStore& store, metrics::Registry& registry,
                           Options options)
    : database_(database),
      store_(store),
      options_(std::move(options)),
      history_(database),
      pending_(database),
      unconfirmed_(
          registry
              .AddGauge("countersign_inventory_quarantines_unconfirmed",
                        "Components that were ordered to stop and have not said in time that they have.", {})
              .With({})),
      pending_count_(
          registry.AddGauge("countersign_inventory_pending_devices", "Devices that await enrolment.", {})
              .With({})) {
  const metrics::GaugeFamily components = registry.AddGauge(
      "countersign_inventory_components", "Components by what is known of what they run.", {"state"});
  for (domain::State state : domain::kAllStates) {
    gauges_.emplace(state, components.With({absl::AsciiStrToLower(domain::StateName(state))}));
  }
  thread_ = std::thread([this] { Work(); });
}

Housekeeping::~Housekeeping() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  thread_.join();
}

absl::Status Housekeeping::CountStates() {
  ASSIGN_OR_RETURN(const auto counts, store_.CountStates());
  for (const auto& [state, count] : counts) {
    if (const auto gauge = gauges_.find(state); gauge != gauges_.end()) {
      gauge->second.Set(static_cast<double>(count));
    }
  }
  ASSIGN_OR_RETURN(const int64_t unconfirmed,
                   store_.CountUnconfirmed(options_.clock->Now() - options_.quarantine_patience));
  unconfirmed_.Set(static_cast<double>(unconfirmed));
  ASSIGN_OR_RETURN(const int64_t pending, pending_.Count());
  pending_count_.Set(static_cast<double>(pending));
  return absl::OkStatus();
}

absl::Status Housekeeping::MakePartitions() {
  return history_.MakePartitions(options_.clock->Now(), History::kMonthsAhead).status();
}

absl::Status Housekeeping::Purge() {
  const absl::Time now = options_.clock->Now();
  RETURN_IF_ERROR(db::PurgeRequestIds(database_, now - options_.request_id_retention).status());
  RETURN_IF_ERROR(feed::Trim(database_, now - options_.change_retention).status());
  RETURN_IF_ERROR(store_.PurgeRefusedReports(now - options_.refused_report_retention).status());
  const absl::CivilMonth oldest =
      absl::ToCivilMonth(now, absl::UTCTimeZone()) - options_.history_retention_months;
  return history_.DropPartitions(absl::FromCivil(oldest, absl::UTCTimeZone())).status();
}

void Housekeeping::Work() {
  const auto attempt = [](absl::string_view what, const absl::Status& status) {
    if (!status.ok()) log::Warn("housekeeping will be tried again", {{"what", what}, {"status", status}});
  };
  absl::Duration since_purge = absl::ZeroDuration();
  while (true) {
    const absl::Time begin = SystemClock().Now();
    attempt("count", CountStates());
    // Of a large fleet the count takes a while: it is not to be what the database does all the time.
    const absl::Duration wait =
        std::max(options_.count_interval, (SystemClock().Now() - begin) * kCountRestFactor);
    {
      absl::MutexLock lock(&mutex_);
      mutex_.AwaitWithTimeout(absl::Condition(&stopping_), wait);
      if (stopping_) return;
    }
    since_purge += wait;
    if (since_purge < options_.purge_interval) continue;
    since_purge = absl::ZeroDuration();
    attempt("make partitions", MakePartitions());
    attempt("purge", Purge());
  }
}

}  // namespace countersign::inventory
