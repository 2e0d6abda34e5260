#include "services/inventory/workers/housekeeping.h"

#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "common/db/request_ids.h"
#include "common/feed/outbox.h"
#include "common/log/log.h"
#include "common/status/macros.h"

namespace countersign::inventory {

Housekeeping::Housekeeping(db::Database& database, InventoryStore& store, metrics::Registry& registry,
                           Options options)
    : database_(database), store_(store), options_(std::move(options)) {
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
  return absl::OkStatus();
}

absl::Status Housekeeping::Purge() {
  const absl::Time now = options_.clock->Now();
  RETURN_IF_ERROR(db::PurgeRequestIds(database_, now - options_.request_id_retention).status());
  RETURN_IF_ERROR(feed::Trim(database_, now - options_.change_retention).status());
  return store_.PurgeRefusedReports(now - options_.refused_report_retention).status();
}

void Housekeeping::Work() {
  absl::Duration since_purge = absl::ZeroDuration();
  while (true) {
    if (const absl::Status status = CountStates(); !status.ok()) {
      log::Warn("components could not be counted", {{"status", status}});
    }
    {
      absl::MutexLock lock(&mutex_);
      mutex_.AwaitWithTimeout(absl::Condition(&stopping_), options_.count_interval);
      if (stopping_) return;
    }
    since_purge += options_.count_interval;
    if (since_purge < options_.purge_interval) continue;
    since_purge = absl::ZeroDuration();
    if (const absl::Status status = Purge(); !status.ok()) {
      log::Warn("what has been kept long enough could not be deleted", {{"status", status}});
    }
  }
}

}  // namespace countersign::inventory
