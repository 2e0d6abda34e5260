#include "services/rollout/workers/housekeeping.h"

#include <optional>
#include <vector>

#include "common/db/request_ids.h"
#include "common/feed/outbox.h"
#include "common/status/macros.h"
#include "services/rollout/api/convert.h"

namespace countersign::rollout {

Housekeeping::Housekeeping(db::Database& database, RolloutStore& store, const HintHub& hub,
                           metrics::Registry& registry, Options options)
    : database_(database),
      store_(store),
      hub_(hub),
      options_(options),
      assignments_(registry.AddGauge("countersign_rollout_assignments",
                                     "Assignments of the newest rollouts, by rollout and phase.",
                                     {"rollout", "phase"})),
      streams_(registry.AddGauge("countersign_rollout_hint_streams", "Hint streams open at this replica.")
                   .With()) {}

absl::Status Housekeeping::Count() {
  streams_.Set(hub_.streams());
  ASSIGN_OR_RETURN(const std::vector<Rollout> rollouts,
                   store_.List(options_.rollouts_in_metrics, std::nullopt));
  std::set<std::string> kept;
  for (const Rollout& rollout : rollouts) {
    kept.insert(rollout.id);
    if (final_.contains(rollout.id)) continue;
    ASSIGN_OR_RETURN(const auto counts, store_.CountStates(rollout.id));
    std::map<std::string, int64_t> phases;
    for (const auto& [state, count] : counts) phases[PhaseName(state)] += count;
    std::set<std::string>& shown = shown_[rollout.id];
    for (const auto& [phase, count] : phases) shown.insert(phase);
    for (const std::string& phase : shown) assignments_.With({rollout.id, phase}).Set(phases[phase]);
    if (rollout.end_time.has_value()) final_.insert(rollout.id);
  }
  for (auto entry = shown_.begin(); entry != shown_.end();) {
    if (kept.contains(entry->first)) {
      ++entry;
      continue;
    }
    for (const std::string& phase : entry->second) assignments_.Remove({entry->first, phase});
    final_.erase(entry->first);
    entry = shown_.erase(entry);
  }
  return absl::OkStatus();
}

absl::Status Housekeeping::Purge() {
  const absl::Time now = options_.clock->Now();
  if (now - purged_ < options_.purge_interval) return absl::OkStatus();
  RETURN_IF_ERROR(db::PurgeRequestIds(database_, now - options_.request_id_retention).status());
  RETURN_IF_ERROR(feed::Trim(database_, now - options_.hint_retention).status());
  purged_ = now;
  return absl::OkStatus();
}

absl::StatusOr<bool> Housekeeping::Round(std::stop_token) {
  RETURN_IF_ERROR(Count());
  RETURN_IF_ERROR(Purge());
  return false;
}

}  // namespace countersign::rollout
