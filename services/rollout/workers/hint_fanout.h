#ifndef COUNTERSIGN_SERVICES_ROLLOUT_WORKERS_HINT_FANOUT_H_
#define COUNTERSIGN_SERVICES_ROLLOUT_WORKERS_HINT_FANOUT_H_

#include <optional>
#include <stop_token>
#include <string>

#include "absl/status/statusor.h"
#include "common/db/database.h"
#include "services/rollout/api/hint_hub.h"

namespace countersign::rollout {

// Brings hints, which transactions of any replica write to the outbox, to the streams that are open at this
// one.
class HintFanout {
 public:
  // What it is given must outlive it.
  HintFanout(db::Database& database, HintHub& hub) : database_(database), hub_(hub) {}

  // A Loop's round.
  absl::StatusOr<bool> Round(std::stop_token stop);

 private:
  db::Database& database_;
  HintHub& hub_;
  std::optional<std::string> token_;
};

}  // namespace countersign::rollout

#endif  // COUNTERSIGN_SERVICES_ROLLOUT_WORKERS_HINT_FANOUT_H_
