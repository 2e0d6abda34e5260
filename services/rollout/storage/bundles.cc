#include "services/rollout/storage/bundles.h"

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/db/sql.h"
#include "services/rollout/storage/work.h"

namespace countersign::rollout {
namespace {

// All that have not ended are consented, and none has ended without its image.
constexpr char kComplete[] = R"sql(
  SELECT gateway, count(*) FILTER (WHERE state < 20) AS size FROM assignments WHERE rollout = $1
  GROUP BY gateway
  HAVING bool_and(state IN (4, 20)) AND bool_or(state = 4)
  ORDER BY min(update_time), gateway LIMIT $2)sql";

constexpr char kConsentedOf[] =
    "SELECT ecu_serial FROM assignments WHERE rollout = $1 AND gateway = $2 AND state = 4 ORDER BY "
    "ecu_serial";

constexpr char kBroken[] = R"sql(
  SELECT DISTINCT ON (a.gateway, a.ecu_serial) a.gateway, a.ecu_serial, b.ecu_serial AS because
  FROM assignments a
  JOIN assignments b ON b.rollout = a.rollout AND b.gateway = a.gateway AND b.state IN (21, 22, 23)
  WHERE a.rollout = $1 AND a.state < $2
  ORDER BY a.gateway, a.ecu_serial LIMIT $3)sql";

}  // namespace

absl::StatusOr<int> Bundles::Admit(const std::string& id, int limit) {
  std::vector<Ended> ended;
  absl::StatusOr<int> moved =
      database_.RunInTransaction("AdmitBundles", [&](db::Transaction& tx) -> absl::StatusOr<int> {
        ended.clear();
        Work work(tx, clock_.Now());
        Rollout* rollout = work.TryLockRollout(id);
        if (rollout == nullptr || !rollout->spec.bundle) return 0;
        int count = 0;
        for (const pqxx::row& row : db::ExecPrepared(tx, "complete_bundles", kComplete, id, limit)) {
          const int64_t size = row["size"].as<int64_t>();
          if (Capacity(*rollout, size) < size) {
            if (rollout->spec.max_concurrent == 0 || size <= rollout->spec.max_concurrent) continue;
            if (const auto paused = Next(rollout->state, RolloutEvent::kPause)) {
              rollout->state = *paused;
              rollout->state_reason = absl::StrCat(
                  "Gateway ", db::TextOf(row["gateway"]), " has a bundle of ", size, " components, and only ",
                  rollout->spec.max_concurrent, " may be under way at once.");
              work.Touch(*rollout);
            }
            break;
          }
          std::vector<AssignmentKey> keys;
          for (const pqxx::row& member :
               db::ExecPrepared(tx, "consented_of_bundle", kConsentedOf, id, db::TextOf(row["gateway"]))) {
            keys.push_back({db::TextOf(row["gateway"]), db::TextOf(member["ecu_serial"]), id});
          }
          const std::vector<Assignment*> members = work.LockAssignments(keys);
          bool complete = true;
          for (Assignment* member : members) {
            if (member->consent_until.has_value() && *member->consent_until <= work.now()) {
              complete = false;
              count += work.Apply(*member, AssignmentEvent::kConsentExpired, FailureReason::kNone,
                                  "The consent's time was over before the bundle's turn came.");
            }
          }
          if (!complete) continue;
          for (Assignment* member : members) count += work.Apply(*member, AssignmentEvent::kAdmitted);
        }
        ended = work.Save();
        return count;
      });
  if (moved.ok() && on_ended_) {
    for (const Ended& end : ended) on_ended_(end);
  }
  return moved;
}

absl::StatusOr<int> Bundles::EndBroken(const std::string& id, int limit) {
  std::vector<Ended> ended;
  absl::StatusOr<int> moved =
      database_.RunInTransaction("EndBrokenBundles", [&](db::Transaction& tx) -> absl::StatusOr<int> {
        ended.clear();
        Work work(tx, clock_.Now());
        const Rollout* rollout = work.TryLockRollout(id);
        if (rollout == nullptr || !rollout->spec.bundle) return 0;
        std::vector<AssignmentKey> keys;
        std::map<AssignmentKey, std::string> because;
        for (const pqxx::row& row : db::ExecPrepared(tx, "broken_bundles", kBroken, id,
                                                     static_cast<int>(AssignmentState::kUpdating), limit)) {
          keys.push_back({db::TextOf(row["gateway"]), db::TextOf(row["ecu_serial"]), id});
          because[keys.back()] = db::TextOf(row["because"]);
        }
        int count = 0;
        for (Assignment* assignment : work.LockAssignments(keys)) {
          count += work.Apply(
              *assignment, AssignmentEvent::kCalledOff, FailureReason::kDependency,
              absl::StrCat("It changes only together with component ",
                           because[{assignment->gateway, assignment->ecu_serial, id}], ", which does not."));
        }
        ended = work.Save();
        return count;
      });
  if (moved.ok() && on_ended_) {
    for (const Ended& end : ended) on_ended_(end);
  }
  return moved;
}

}  // namespace countersign::rollout
