#include "services/rollout/storage/rollout_store.h"

#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/db/request_ids.h"
#include "common/db/sql.h"
#include "common/feed/outbox.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "services/rollout/storage/rows.h"
#include "services/rollout/storage/work.h"

namespace countersign::rollout {
namespace {

// An abort takes this many with it in its own transaction; workers call off the rest.
constexpr int kCalledOffAtOnce = 1000;

constexpr char kAddQuarantined[] =
    "INSERT INTO quarantined_components (gateway, ecu_serial) VALUES ($1, $2) ON CONFLICT DO NOTHING";
constexpr char kRemoveQuarantined[] =
    "DELETE FROM quarantined_components WHERE gateway = $1 AND ecu_serial = $2";

constexpr char kInsertRollout[] = R"sql(
  INSERT INTO rollouts (id, display_name, filter, max_concurrent, max_failures, assignment_timeout_us, state,
                        created_by, create_time, bundle)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10))sql";

constexpr char kInsertRelease[] = R"sql(
  INSERT INTO rollout_releases (rollout, ordinal, name, manufacturer, target_path, length_bytes, sha256, version,
                                version_format, release_counter, models, hardware_ids, minimum_installed_version,
                                kind, info)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::text[], $12::text[], $13, $14, $15))sql";

constexpr char kApproveRelease[] = R"sql(
  UPDATE rollout_releases SET manufacturer_key_ids = $3::text[], approved_by = $4
  WHERE rollout = $1 AND ordinal = $2)sql";

constexpr char kClaimPlanning[] = R"sql(
  UPDATE rollouts SET planner = $1, planner_until = $3
  WHERE id = (SELECT id FROM rollouts
              WHERE state = 1 AND end_time IS NULL AND (planner_until IS NULL OR planner_until < $2)
              ORDER BY create_time LIMIT 1 FOR UPDATE SKIP LOCKED)
  RETURNING id)sql";

// Whoever holds the claim holds the row's lock from here to the commit.
constexpr char kKeepPlanning[] = R"sql(
  UPDATE rollouts SET planner_until = $3 WHERE id = $1 AND planner = $2 AND state = 1 RETURNING id)sql";

// A repeated batch meets its own rows and changes nothing; an open assignment of another rollout keeps this
// one out.
constexpr char kInsertAssignments[] = R"sql(
  INSERT INTO assignments (gateway, ecu_serial, rollout, hardware_id, release, from_version, from_release_counter,
                           from_report_counter, state, update_time, due_time)
  SELECT u.gateway, u.ecu_serial, $1, u.hardware_id, u.release, u.from_version, u.release_counter, u.report_counter,
         1, $9, $9
  FROM unnest($2::text[], $3::text[], $4::text[], $5::integer[], $6::text[], $7::bigint[], $8::bigint[])
    AS u(gateway, ecu_serial, hardware_id, release, from_version, release_counter, report_counter)
  ON CONFLICT DO NOTHING)sql";

constexpr char kInsertConflicting[] = R"sql(
  INSERT INTO assignments (gateway, ecu_serial, rollout, hardware_id, release, from_version, from_release_counter,
                           from_report_counter, state, failure_reason, failure_detail, update_time)
  SELECT u.gateway, u.ecu_serial, $1, u.hardware_id, u.release, u.from_version, u.release_counter, u.report_counter,
         23, 14,
         COALESCE((SELECT 'Another update of the component is under way: rollouts/' || a.rollout FROM assignments a
                   WHERE a.gateway = u.gateway AND a.ecu_serial = u.ecu_serial AND a.state < 20),
                  'Another update of the component was under way.'),
         $9
  FROM unnest($2::text[], $3::text[], $4::text[], $5::integer[], $6::text[], $7::bigint[], $8::bigint[])
    AS u(gateway, ecu_serial, hardware_id, release, from_version, release_counter, report_counter)
  ON CONFLICT DO NOTHING)sql";

constexpr char kCountPlanned[] = R"sql(
  UPDATE rollouts SET total = total + $2 + $3, waiting = waiting + $2, cancelled = cancelled + $3,
                      revision = revision + 1
  WHERE id = $1)sql";

constexpr char kClaimForConsent[] = R"sql(
  UPDATE assignments a SET due_time = $4
  FROM (SELECT gateway, ecu_serial, rollout FROM assignments
        WHERE rollout = $1 AND state = 1 AND due_time <= $2
        ORDER BY due_time LIMIT $3 FOR UPDATE SKIP LOCKED) due
  WHERE a.gateway = due.gateway AND a.ecu_serial = due.ecu_serial AND a.rollout = due.rollout
  RETURNING )sql";

constexpr char kFindProved[] = R"sql(
  SELECT a.rollout, r.sha256 FROM assignments a
  JOIN rollout_releases r ON r.rollout = a.rollout AND r.ordinal = a.release
  WHERE a.gateway = $1 AND a.ecu_serial = $2 AND a.state < 20 AND r.sha256 = $3)sql";

constexpr char kActiveImages[] = R"sql(
  SELECT a.ecu_serial, a.rollout, r.sha256 FROM assignments a
  JOIN rollout_releases r ON r.rollout = a.rollout AND r.ordinal = a.release
  WHERE a.gateway = $1 AND a.state BETWEEN 10 AND 19)sql";

constexpr char kCountStates[] =
    "SELECT state, count(*) AS count FROM assignments WHERE rollout = $1 GROUP BY state";

constexpr char kClosingQuestions[] = "SELECT gateway, ecu_serial, rollout FROM closing_questions LIMIT $1";

constexpr char kForgetClosing[] = R"sql(
  DELETE FROM closing_questions q
  USING unnest($1::text[], $2::text[], $3::text[]) AS u(gateway, ecu_serial, rollout)
  WHERE q.gateway = u.gateway AND q.ecu_serial = u.ecu_serial AND q.rollout = u.rollout)sql";

constexpr char kReturnClaims[] = R"sql(
  UPDATE assignments a SET due_time = $4
  FROM unnest($1::text[], $2::text[], $3::text[]) AS u(gateway, ecu_serial, rollout)
  WHERE a.gateway = u.gateway AND a.ecu_serial = u.ecu_serial AND a.rollout = u.rollout AND a.state = 1)sql";

absl::Status UnknownRollout(const std::string& id) {
  return Error(absl::StatusCode::kNotFound, "ROLLOUT_UNKNOWN",
               absl::StrCat("There is no rollout rollouts/", id, "; ListRollouts tells which there are."));
}

absl::Status PlanningLost(const std::string& id) {
  return Error(absl::StatusCode::kAborted, "PLANNING_LOST",
               absl::StrCat("rollouts/", id, " is planned by another replica, or is no longer PLANNING."));
}

std::string ViewColumns() {
  return absl::StrCat(kAssignmentColumns, ", ", kReleaseColumns,
                      ", o.state AS rollout_state, o.launched_by, o.bundle");
}

constexpr char kViewTables[] =
    " FROM assignments a JOIN rollouts o ON o.id = a.rollout "
    "JOIN rollout_releases r ON r.rollout = a.rollout AND r.ordinal = a.release ";

AssignmentView ViewOf(const pqxx::row& row) {
  return {AssignmentOf(row), ReleaseOf(row), static_cast<RolloutState>(row["rollout_state"].as<int>()),
          db::TextOf(row["launched_by"]), row["bundle"].as<bool>()};
}

std::vector<Release> LoadReleases(db::Session& session, const std::string& rollout) {
  static const auto& sql = *new std::string(
      absl::StrCat("SELECT ", kReleaseColumns,
                   ", r.info FROM rollout_releases r WHERE r.rollout = $1 ORDER BY r.ordinal"));
  std::vector<Release> releases;
  for (const pqxx::row& row : db::ExecPrepared(session, "releases_of_rollout", sql, rollout)) {
    releases.push_back(ReleaseOf(row));
    releases.back().info = db::BytesOf(row["info"]);
  }
  return releases;
}

absl::StatusOr<Rollout> LoadRollout(db::Session& session, const std::string& id) {
  static const auto& sql =
      *new std::string(absl::StrCat("SELECT ", kRolloutColumns, " FROM rollouts o WHERE o.id = $1"));
  const pqxx::result rows = db::ExecPrepared(session, "rollout_by_id", sql, id);
  if (rows.empty()) return UnknownRollout(id);
  return RolloutOf(rows[0]);
}

// The arrays of a batch of planned components, in the order of the statements above.
struct PlannedArrays {
  explicit PlannedArrays(const std::vector<Planned>& planned) {
    for (const Planned& entry : planned) {
      gateways.push_back(entry.component.gateway);
      serials.push_back(entry.component.ecu_serial);
      hardware_ids.push_back(entry.component.hardware_id);
      releases.push_back(entry.release);
      versions.push_back(entry.component.version);
      release_counters.push_back(entry.component.release_counter);
      report_counters.push_back(entry.component.report_counter);
    }
  }
  int64_t Insert(db::Transaction& tx, const std::string& name, const std::string& sql,
                 const std::string& rollout, absl::Time now) const {
    return static_cast<int64_t>(db::ExecPrepared(tx, name, sql, rollout, db::TextArray(gateways),
                                                 db::TextArray(serials), db::TextArray(hardware_ids),
                                                 db::IntegerArray(releases), db::TextArray(versions),
                                                 db::BigintArray(release_counters),
                                                 db::BigintArray(report_counters), db::Timestamp(now))
                                    .affected_rows());
  }

  std::vector<std::string> gateways, serials, hardware_ids, versions;
  std::vector<int32_t> releases;
  std::vector<int64_t> release_counters, report_counters;
};

void TakeDecision(Work& work, Assignment& assignment, const ConsentDecision& decision) {
  const AssignmentState before = assignment.state;
  // It ended while its question was on its way.
  if (IsEnded(before) && decision.event == AssignmentEvent::kConsentPending) work.CloseQuestion(assignment);
  FailureReason reason = FailureReason::kNone;
  std::string detail;
  switch (decision.event) {
    case AssignmentEvent::kConsentDenied:
      reason = FailureReason::kUserRejected;
      detail = "The user refused the update.";
      break;
    case AssignmentEvent::kConsentWithdrawn:
      reason = FailureReason::kUserRejected;
      detail = "The user withdrew the consent before the installation began.";
      break;
    case AssignmentEvent::kConsentExpired:
      detail = "The consent's time was over before the installation began.";
      break;
    default:
      break;
  }
  // Before Apply(): the time of a deferral decides when it is due.
  const std::optional<absl::Time> until = assignment.consent_until;
  assignment.consent_until = decision.until;
  if (!work.Apply(assignment, decision.event, reason, detail)) {
    assignment.consent_until = until;
    return;
  }
  if (assignment.state == before || decision.record.empty()) return;
  assignment.consent_record = decision.record;
  assignment.consented_by = decision.principal;
  // The record that allowed it is what the Director's signer sees; a later one only ends the assignment.
  assignment.signed_consent = decision.signed_record;
}

}  // namespace

RolloutStore::RolloutStore(db::Database& database, const Clock& clock,
                           std::function<void(const Ended&)> on_ended)
    : database_(database), clock_(clock), on_ended_(std::move(on_ended)) {}

void RolloutStore::Tell(const std::vector<Ended>& ended) const {
  if (!on_ended_) return;
  for (const Ended& entry : ended) on_ended_(entry);
}

absl::StatusOr<std::vector<AssignmentKey>> RolloutStore::ClosingQuestions(int limit) {
  using Keys = std::vector<AssignmentKey>;
  return database_.Read("ClosingQuestions", [&](db::Reader& reader) -> absl::StatusOr<Keys> {
    Keys keys;
    for (const pqxx::row& row : db::ExecPrepared(reader, "closing_questions", kClosingQuestions, limit)) {
      keys.push_back({db::TextOf(row["gateway"]), db::TextOf(row["ecu_serial"]), db::TextOf(row["rollout"])});
    }
    return keys;
  });
}

absl::Status RolloutStore::ForgetClosing(const std::vector<AssignmentKey>& keys) {
  std::vector<std::string> gateways, serials, rollouts;
  for (const AssignmentKey& key : keys) {
    gateways.push_back(key.gateway);
    serials.push_back(key.ecu_serial);
    rollouts.push_back(key.rollout);
  }
  return database_.RunInTransaction("ForgetClosing", [&](db::Transaction& tx) -> absl::Status {
    tx.exec_params(kForgetClosing, db::TextArray(gateways), db::TextArray(serials), db::TextArray(rollouts));
    return absl::OkStatus();
  });
}

absl::StatusOr<std::string> RolloutStore::Create(const Rollout& rollout, const std::vector<Release>& releases,
                                                 const Request& request) {
  return database_.RunInTransaction("CreateRollout", [&](db::Transaction& tx) -> absl::StatusOr<std::string> {
    return db::Idempotently(
        tx, request.principal, request.method, request.request_id, request.bytes,
        [&]() -> absl::StatusOr<std::string> {
          const RolloutSpec& spec = rollout.spec;
          tx.exec_params(kInsertRollout, rollout.id, spec.display_name, spec.filter, spec.max_concurrent,
                         spec.max_failures, absl::ToInt64Microseconds(spec.assignment_timeout),
                         static_cast<int>(rollout.state), rollout.created_by,
                         db::Timestamp(rollout.create_time), spec.bundle);
          for (size_t i = 0; i < releases.size(); ++i) {
            const Release& release = releases[i];
            tx.exec_params(kInsertRelease, rollout.id, static_cast<int>(i), release.name,
                           release.manufacturer, release.image.target_path, release.image.length,
                           release.image.sha256, release.version, static_cast<int>(release.version_format),
                           release.release_counter, db::TextArray(release.models),
                           db::TextArray(release.hardware_ids), release.minimum_installed_version,
                           release.kind, db::Bytes(release.info));
          }
          ASSIGN_OR_RETURN(const Rollout created, LoadRollout(tx, rollout.id));
          return request.encode(created);
        });
  });
}

absl::StatusOr<Rollout> RolloutStore::Get(const std::string& id) {
  return database_.Read(
      "GetRollout", [&](db::Reader& reader) -> absl::StatusOr<Rollout> { return LoadRollout(reader, id); });
}

absl::StatusOr<std::vector<Release>> RolloutStore::Releases(const std::string& id) {
  return database_.Read("GetReleases", [&](db::Reader& reader) -> absl::StatusOr<std::vector<Release>> {
    return LoadReleases(reader, id);
  });
}

absl::StatusOr<std::vector<Rollout>> RolloutStore::List(
    int limit, std::optional<std::pair<absl::Time, std::string>> after) {
  static const auto& sql = *new std::string(
      absl::StrCat("SELECT ", kRolloutColumns,
                   " FROM rollouts o WHERE $1::timestamptz IS NULL OR (o.create_time, o.id) < ($1, $2) "
                   "ORDER BY o.create_time DESC, o.id DESC LIMIT $3"));
  return database_.Read("ListRollouts", [&](db::Reader& reader) -> absl::StatusOr<std::vector<Rollout>> {
    const std::optional<absl::Time> time = after ? std::make_optional(after->first) : std::nullopt;
    std::vector<Rollout> rollouts;
    for (const pqxx::row& row :
         reader.exec_params(sql, db::NullableTimestamp(time), after ? after->second : std::string(), limit)) {
      rollouts.push_back(RolloutOf(row));
    }
    return rollouts;
  });
}

absl::StatusOr<std::string> RolloutStore::Apply(const std::string& id, RolloutEvent event,
                                                absl::string_view etag, const std::vector<Package>& packages,
                                                const Request& request) {
  std::vector<Ended> ended;
  absl::StatusOr<std::string> response =
      database_.RunInTransaction("ChangeRollout", [&](db::Transaction& tx) -> absl::StatusOr<std::string> {
        return db::Idempotently(
            tx, request.principal, request.method, request.request_id, request.bytes,
            [&]() -> absl::StatusOr<std::string> {
              Work work(tx, clock_.Now());
              work.LockRollouts({id});
              Rollout* rollout = work.FindRollout(id);
              if (rollout == nullptr) return UnknownRollout(id);
              if (!etag.empty() && etag != absl::string_view(rollout->etag())) {
                return countersign::Error(
                    absl::StatusCode::kAborted, "ETAG_MISMATCH",
                    absl::StrCat("rollouts/", id,
                                 " has changed since it was read; read it again and decide."),
                    {{"etag", rollout->etag()}});
              }
              const std::optional<RolloutState> next = Next(rollout->state, event);
              if (!next.has_value()) return WrongState(rollout->state, event);
              rollout->state = *next;
              rollout->state_reason.clear();
              work.Touch(*rollout);
              switch (event) {
                case RolloutEvent::kStart:
                  // HOME-6: who launches is on record.
                  rollout->launched_by = request.principal;
                  rollout->launch_time = work.now();
                  rollout->failures_since_go = 0;
                  for (size_t i = 0; i < packages.size(); ++i) {
                    tx.exec_params(kApproveRelease, id, static_cast<int>(i),
                                   db::TextArray(packages[i].manufacturer_key_ids), packages[i].approved_by);
                  }
                  break;
                case RolloutEvent::kPause:
                  rollout->state_reason = absl::StrCat("Paused by ", request.principal, ".");
                  break;
                case RolloutEvent::kResume:
                  // Who resumes has seen the failures: the budget counts from here.
                  rollout->failures_since_go = 0;
                  break;
                case RolloutEvent::kAbort:
                  rollout->state_reason = absl::StrCat("Aborted by ", request.principal, ".");
                  for (Assignment* assignment : work.LockAssignments(id, AssignmentState::kPlanned,
                                                                     AssignmentState::kAwaitingPrecondition,
                                                                     /*due=*/false, kCalledOffAtOnce)) {
                    work.Apply(*assignment, AssignmentEvent::kCalledOff, FailureReason::kNone,
                               "The operator aborted the rollout.");
                  }
                  break;
                default:
                  break;
              }
              ended = work.Save();
              ASSIGN_OR_RETURN(const Rollout changed, LoadRollout(tx, id));
              return request.encode(changed);
            });
      });
  if (response.ok()) Tell(ended);
  return response;
}

absl::StatusOr<std::vector<Rollout>> RolloutStore::Open() {
  static const auto& sql = *new std::string(
      absl::StrCat("SELECT ", kRolloutColumns, " FROM rollouts o WHERE o.end_time IS NULL ORDER BY o.id"));
  return database_.Read("OpenRollouts", [&](db::Reader& reader) -> absl::StatusOr<std::vector<Rollout>> {
    std::vector<Rollout> rollouts;
    for (const pqxx::row& row : db::ExecPrepared(reader, "open_rollouts", sql))
      rollouts.push_back(RolloutOf(row));
    return rollouts;
  });
}

absl::StatusOr<std::map<AssignmentState, int64_t>> RolloutStore::CountStates(const std::string& rollout) {
  using Counts = std::map<AssignmentState, int64_t>;
  return database_.Read("CountStates", [&](db::Reader& reader) -> absl::StatusOr<Counts> {
    Counts counts;
    for (const pqxx::row& row : reader.exec_params(kCountStates, rollout)) {
      counts[static_cast<AssignmentState>(row["state"].as<int>())] = row["count"].as<int64_t>();
    }
    return counts;
  });
}

absl::StatusOr<std::optional<PlanningJob>> RolloutStore::ClaimPlanning(const std::string& planner,
                                                                       absl::Duration lease) {
  using Job = std::optional<PlanningJob>;
  return database_.RunInTransaction("ClaimPlanning", [&](db::Transaction& tx) -> absl::StatusOr<Job> {
    const absl::Time now = clock_.Now();
    const pqxx::result rows =
        tx.exec_params(kClaimPlanning, planner, db::Timestamp(now), db::Timestamp(now + lease));
    if (rows.empty()) return Job();
    ASSIGN_OR_RETURN(Rollout rollout, LoadRollout(tx, db::TextOf(rows[0]["id"])));
    std::vector<Release> releases = LoadReleases(tx, rollout.id);
    return Job(PlanningJob{std::move(rollout), std::move(releases), planner});
  });
}

absl::Status RolloutStore::Plan(const PlanningJob& job, const std::vector<Planned>& components,
                                absl::Duration lease) {
  return database_.RunInTransaction("Plan", [&](db::Transaction& tx) -> absl::Status {
    const absl::Time now = clock_.Now();
    const std::string& id = job.rollout.id;
    if (db::ExecPrepared(tx, "keep_planning", kKeepPlanning, id, job.planner, db::Timestamp(now + lease))
            .empty()) {
      return PlanningLost(id);
    }
    if (components.empty()) return absl::OkStatus();
    const PlannedArrays arrays(components);
    const int64_t open = arrays.Insert(tx, "insert_assignments", kInsertAssignments, id, now);
    int64_t conflicting = 0;
    if (open < static_cast<int64_t>(components.size())) {
      conflicting = arrays.Insert(tx, "insert_conflicting", kInsertConflicting, id, now);
    }
    if (open + conflicting > 0) db::ExecPrepared(tx, "count_planned", kCountPlanned, id, open, conflicting);
    return absl::OkStatus();
  });
}

absl::Status RolloutStore::FinishPlanning(const PlanningJob& job) {
  return database_.RunInTransaction("FinishPlanning", [&](db::Transaction& tx) -> absl::Status {
    Work work(tx, clock_.Now());
    if (tx.exec_params(kKeepPlanning, job.rollout.id, job.planner, std::optional<std::string>()).empty()) {
      return PlanningLost(job.rollout.id);
    }
    work.LockRollouts({job.rollout.id});
    Rollout& rollout = *work.FindRollout(job.rollout.id);
    rollout.state = *Next(rollout.state, RolloutEvent::kPlanned);
    work.Touch(rollout);
    work.Save();
    return absl::OkStatus();
  });
}

absl::Status RolloutStore::FailPlanning(const PlanningJob& job, absl::string_view reason) {
  return database_.RunInTransaction("FailPlanning", [&](db::Transaction& tx) -> absl::Status {
    Work work(tx, clock_.Now());
    if (tx.exec_params(kKeepPlanning, job.rollout.id, job.planner, std::optional<std::string>()).empty()) {
      return PlanningLost(job.rollout.id);
    }
    work.LockRollouts({job.rollout.id});
    Rollout& rollout = *work.FindRollout(job.rollout.id);
    rollout.state = *Next(rollout.state, RolloutEvent::kPlanningFailed);
    rollout.state_reason = std::string(reason);
    work.Touch(rollout);
    work.Save();
    return absl::OkStatus();
  });
}

absl::Status RolloutStore::YieldPlanning(const PlanningJob& job) {
  return database_.RunInTransaction("YieldPlanning", [&](db::Transaction& tx) -> absl::Status {
    tx.exec_params(kKeepPlanning, job.rollout.id, job.planner, std::optional<std::string>());
    return absl::OkStatus();
  });
}

absl::StatusOr<int> RolloutStore::Admit(const std::string& id, int limit) {
  std::vector<Ended> ended;
  absl::StatusOr<int> moved =
      database_.RunInTransaction("Admit", [&](db::Transaction& tx) -> absl::StatusOr<int> {
        ended.clear();
        Work work(tx, clock_.Now());
        // PLUS-4: capacity is read, used and counted under the rollout's lock, so that replicas cannot both
        // use it.
        Rollout* rollout = work.TryLockRollout(id);
        if (rollout == nullptr) return 0;
        if (rollout->spec.bundle) return 0;  // see Bundles
        const int64_t capacity = Capacity(*rollout, limit);
        if (capacity == 0) return 0;
        int count = 0;
        for (Assignment* assignment :
             work.LockAssignments(id, AssignmentState::kConsented, AssignmentState::kConsented,
                                  /*due=*/true, static_cast<int>(capacity))) {
          const bool expired =
              assignment->consent_until.has_value() && *assignment->consent_until <= work.now();
          count += expired ? work.Apply(*assignment, AssignmentEvent::kConsentExpired, FailureReason::kNone,
                                        "The consent's time was over before the component's turn came.")
                           : work.Apply(*assignment, AssignmentEvent::kAdmitted);
        }
        ended = work.Save();
        return count;
      });
  if (moved.ok()) Tell(ended);
  return moved;
}

absl::StatusOr<int> RolloutStore::TimeOut(const std::string& id, int limit) {
  std::vector<Ended> ended;
  absl::StatusOr<int> moved =
      database_.RunInTransaction("TimeOut", [&](db::Transaction& tx) -> absl::StatusOr<int> {
        ended.clear();
        Work work(tx, clock_.Now());
        if (work.TryLockRollout(id) == nullptr) return 0;
        int count = 0;
        for (Assignment* assignment :
             work.LockAssignments(id, AssignmentState::kAdmitted, AssignmentState::kVerifying,
                                  /*due=*/true, limit)) {
          count += work.Apply(*assignment, AssignmentEvent::kTimedOut, FailureReason::kTimeout,
                              "No verified report of the new image came within the time allowed.");
        }
        ended = work.Save();
        return count;
      });
  if (moved.ok()) Tell(ended);
  return moved;
}

absl::StatusOr<int> RolloutStore::EndDeferrals(const std::string& id, int limit) {
  return database_.RunInTransaction("EndDeferrals", [&](db::Transaction& tx) -> absl::StatusOr<int> {
    Work work(tx, clock_.Now());
    if (work.TryLockRollout(id) == nullptr) return 0;
    int count = 0;
    for (Assignment* assignment :
         work.LockAssignments(id, AssignmentState::kDeferred, AssignmentState::kDeferred,
                              /*due=*/true, limit)) {
      count += work.Apply(*assignment, AssignmentEvent::kDeferralOver);
    }
    work.Save();
    return count;
  });
}

absl::StatusOr<int> RolloutStore::CallOff(const std::string& id, int limit) {
  std::vector<Ended> ended;
  absl::StatusOr<int> moved =
      database_.RunInTransaction("CallOff", [&](db::Transaction& tx) -> absl::StatusOr<int> {
        ended.clear();
        Work work(tx, clock_.Now());
        const Rollout* rollout = work.TryLockRollout(id);
        if (rollout == nullptr || !IsEnd(rollout->state)) return 0;
        int count = 0;
        for (Assignment* assignment :
             work.LockAssignments(id, AssignmentState::kPlanned, AssignmentState::kAwaitingPrecondition,
                                  /*due=*/false, limit)) {
          count += work.Apply(*assignment, AssignmentEvent::kCalledOff, FailureReason::kNone,
                              rollout->state == RolloutState::kAborted ? "The operator aborted the rollout."
                                                                       : "The rollout could not be planned.");
        }
        ended = work.Save();
        return count;
      });
  if (moved.ok()) Tell(ended);
  return moved;
}

absl::StatusOr<std::vector<AssignmentView>> RolloutStore::ClaimForConsent(const std::string& id, int limit,
                                                                          absl::Duration lease) {
  static const auto& claim = *new std::string(absl::StrCat(kClaimForConsent, kAssignmentColumns));
  using Views = std::vector<AssignmentView>;
  return database_.RunInTransaction("ClaimForConsent", [&](db::Transaction& tx) -> absl::StatusOr<Views> {
    const absl::Time now = clock_.Now();
    const pqxx::result rows = db::ExecPrepared(tx, "claim_for_consent", claim, id, db::Timestamp(now), limit,
                                               db::Timestamp(now + lease));
    Views views;
    if (rows.empty()) return views;
    ASSIGN_OR_RETURN(const Rollout rollout, LoadRollout(tx, id));
    const std::vector<Release> releases = LoadReleases(tx, id);
    for (const pqxx::row& row : rows) {
      Assignment assignment = AssignmentOf(row);
      const Release& release = releases.at(static_cast<size_t>(assignment.release));
      views.push_back({std::move(assignment), release, rollout.state, rollout.launched_by});
    }
    return views;
  });
}

absl::Status RolloutStore::ReturnClaims(const std::vector<AssignmentView>& claimed) {
  std::vector<std::string> gateways, serials, rollouts;
  for (const AssignmentView& view : claimed) {
    gateways.push_back(view.assignment.gateway);
    serials.push_back(view.assignment.ecu_serial);
    rollouts.push_back(view.assignment.rollout);
  }
  return database_.RunInTransaction("ReturnClaims", [&](db::Transaction& tx) -> absl::Status {
    tx.exec_params(kReturnClaims, db::TextArray(gateways), db::TextArray(serials), db::TextArray(rollouts),
                   db::Timestamp(clock_.Now()));
    return absl::OkStatus();
  });
}

absl::Status RolloutStore::PauseBecause(const std::string& id, absl::string_view reason) {
  return database_.RunInTransaction("PauseBecause", [&](db::Transaction& tx) -> absl::Status {
    Work work(tx, clock_.Now());
    work.LockRollouts({id});
    Rollout* rollout = work.FindRollout(id);
    if (rollout == nullptr) return UnknownRollout(id);
    const std::optional<RolloutState> next = Next(rollout->state, RolloutEvent::kPause);
    if (!next.has_value()) return absl::OkStatus();
    rollout->state = *next;
    rollout->state_reason = std::string(reason);
    work.Touch(*rollout);
    work.Save();
    return absl::OkStatus();
  });
}

absl::StatusOr<std::vector<AssignmentView>> RolloutStore::Recallable(
    int limit, const std::optional<AssignmentKey>& after) {
  static const auto& sql = *new std::string(
      absl::StrCat("SELECT ", ViewColumns(), ", r.info", kViewTables, "WHERE a.state < ",
                   static_cast<int>(AssignmentState::kUpdating),
                   " AND o.launched_by <> '' AND (a.gateway, a.ecu_serial, a.rollout) > ($1, $2, $3) "
                   "ORDER BY a.gateway, a.ecu_serial, a.rollout LIMIT $4"));
  using Views = std::vector<AssignmentView>;
  return database_.Read("Recallable", [&](db::Reader& reader) -> absl::StatusOr<Views> {
    const AssignmentKey key = after.value_or(AssignmentKey{});
    Views views;
    for (const pqxx::row& row : reader.exec_params(sql, key.gateway, key.ecu_serial, key.rollout, limit)) {
      views.push_back(ViewOf(row));
      views.back().release.info = db::BytesOf(row["info"]);
    }
    return views;
  });
}

absl::Status RolloutStore::Decide(const std::vector<ConsentDecision>& decisions) {
  std::vector<Ended> ended;
  const absl::Status status = database_.RunInTransaction("Decide", [&](db::Transaction& tx) -> absl::Status {
    ended.clear();
    Work work(tx, clock_.Now());
    std::set<std::string> rollouts;
    std::vector<AssignmentKey> keys;
    for (const ConsentDecision& decision : decisions) {
      rollouts.insert(decision.rollout);
      keys.push_back({decision.gateway, decision.ecu_serial, decision.rollout});
    }
    work.LockRollouts(rollouts);
    std::map<AssignmentKey, Assignment*> assignments;
    for (Assignment* assignment : work.LockAssignments(keys)) {
      assignments[{assignment->gateway, assignment->ecu_serial, assignment->rollout}] = assignment;
    }
    for (size_t i = 0; i < decisions.size(); ++i) {
      const auto found = assignments.find(keys[i]);
      if (found != assignments.end()) TakeDecision(work, *found->second, decisions[i]);
    }
    ended = work.Save();
    return absl::OkStatus();
  });
  if (status.ok()) Tell(ended);
  return status;
}

absl::Status RolloutStore::Decide(db::Transaction& tx, const ConsentDecision& decision) {
  Work work(tx, clock_.Now());
  work.LockRollouts({decision.rollout});
  for (Assignment* assignment :
       work.LockAssignments({{decision.gateway, decision.ecu_serial, decision.rollout}})) {
    TakeDecision(work, *assignment, decision);
  }
  Tell(work.Save());
  return absl::OkStatus();
}

absl::Status RolloutStore::TakeComponent(db::Transaction& tx, const Component& component) {
  RETURN_IF_ERROR(TakeProof(tx, component));
  const pqxx::result changed =
      component.quarantined
          ? db::ExecPrepared(tx, "add_quarantined", kAddQuarantined, component.gateway, component.ecu_serial)
          : db::ExecPrepared(tx, "remove_quarantined", kRemoveQuarantined, component.gateway,
                             component.ecu_serial);
  if (changed.affected_rows() == 0) return absl::OkStatus();
  BumpDirector(tx, {component.gateway});
  feed::Append(tx, kHintKind, component.gateway, kHintMetadata);
  return absl::OkStatus();
}

absl::Status RolloutStore::TakeProof(db::Transaction& tx, const Component& component) {
  if (!component.proved) return absl::OkStatus();
  const pqxx::result rows = db::ExecPrepared(tx, "find_proved", kFindProved, component.gateway,
                                             component.ecu_serial, component.sha256);
  if (rows.empty()) return absl::OkStatus();
  const std::string rollout = db::TextOf(rows[0]["rollout"]);
  Work work(tx, clock_.Now());
  work.LockRollouts({rollout});
  for (Assignment* assignment : work.LockAssignments({{component.gateway, component.ecu_serial, rollout}})) {
    if (!Proves(component, *assignment, component.sha256)) continue;
    const bool let_in = IsActive(assignment->state);
    if (!work.Apply(*assignment, AssignmentEvent::kImageProved, FailureReason::kNone,
                    let_in ? "" : "The component got the image before it was let in.")) {
      continue;
    }
    assignment->proxied = component.proxied;
  }
  Tell(work.Save());
  return absl::OkStatus();
}

absl::Status RolloutStore::TakeComponents(const std::vector<Component>& components) {
  return database_.RunInTransaction("TakeComponents", [&](db::Transaction& tx) -> absl::Status {
    for (const Component& component : components) RETURN_IF_ERROR(TakeComponent(tx, component));
    return absl::OkStatus();
  });
}

absl::StatusOr<std::vector<bool>> RolloutStore::Report(const std::string& gateway,
                                                       const std::vector<Progress>& progress) {
  std::vector<Ended> ended;
  using Taken = std::vector<bool>;
  absl::StatusOr<Taken> taken =
      database_.RunInTransaction("ReportProgress", [&](db::Transaction& tx) -> absl::StatusOr<Taken> {
        ended.clear();
        Taken accepted(progress.size(), false);
        // An end changes the rollout's counts, so its rollout is locked first; the ordinary steps leave it
        // alone.
        std::set<std::string> ending;
        std::vector<AssignmentKey> images(progress.size());
        for (const pqxx::row& row : db::ExecPrepared(tx, "active_images", kActiveImages, gateway)) {
          for (size_t i = 0; i < progress.size(); ++i) {
            if (db::TextOf(row["ecu_serial"]) != progress[i].ecu_serial ||
                db::TextOf(row["sha256"]) != progress[i].sha256) {
              continue;
            }
            images[i] = {gateway, progress[i].ecu_serial, db::TextOf(row["rollout"])};
            if (progress[i].event == AssignmentEvent::kReportedFailed ||
                progress[i].event == AssignmentEvent::kReportedRolledBack) {
              ending.insert(images[i].rollout);
            }
          }
        }
        Work work(tx, clock_.Now());
        work.LockRollouts(ending);
        const std::vector<Assignment*> active = work.LockActive(gateway);
        for (size_t i = 0; i < progress.size(); ++i) {
          for (Assignment* assignment : active) {
            if (assignment->ecu_serial != images[i].ecu_serial || assignment->rollout != images[i].rollout)
              continue;
            accepted[i] = work.Apply(*assignment, progress[i].event,
                                     static_cast<FailureReason>(progress[i].failure_reason),
                                     progress[i].failure_detail);
          }
        }
        ended = work.Save();
        return accepted;
      });
  if (taken.ok()) Tell(ended);
  return taken;
}

absl::Status RolloutStore::Refuse(const AssignmentKey& key, AssignmentEvent event, FailureReason reason,
                                  absl::string_view detail) {
  std::vector<Ended> ended;
  const absl::Status status =
      database_.RunInTransaction("RefuseBySigner", [&](db::Transaction& tx) -> absl::Status {
        ended.clear();
        Work work(tx, clock_.Now());
        work.LockRollouts({key.rollout});
        for (Assignment* assignment : work.LockAssignments({key}))
          work.Apply(*assignment, event, reason, detail);
        ended = work.Save();
        return absl::OkStatus();
      });
  if (status.ok()) Tell(ended);
  return status;
}

absl::StatusOr<std::vector<AssignmentView>> RolloutStore::Assignments(
    const std::optional<std::string>& rollout, const std::optional<std::string>& gateway, int limit,
    const std::optional<AssignmentKey>& after) {
  // Each variant has only the restrictions that it uses, so that each has its index.
  std::string where = "WHERE true";
  if (rollout.has_value()) absl::StrAppend(&where, " AND a.rollout = $1");
  if (gateway.has_value()) absl::StrAppend(&where, " AND a.gateway = $2");
  if (after.has_value()) absl::StrAppend(&where, " AND (a.gateway, a.ecu_serial, a.rollout) > ($3, $4, $5)");
  const std::string sql = absl::StrCat(
      "SELECT ", ViewColumns(), kViewTables, where,
      // Parameters that a variant leaves out still need a type.
      " AND ($1::text, $2::text, $3::text, $4::text, $5::text) IS NOT DISTINCT FROM ($1, $2, $3, $4, $5)"
      " ORDER BY a.gateway, a.ecu_serial, a.rollout LIMIT $6");
  using Views = std::vector<AssignmentView>;
  return database_.Read("ListAssignments", [&](db::Reader& reader) -> absl::StatusOr<Views> {
    const AssignmentKey key = after.value_or(AssignmentKey{});
    Views views;
    for (const pqxx::row& row : reader.exec_params(sql, rollout.value_or(""), gateway.value_or(""),
                                                   key.gateway, key.ecu_serial, key.rollout, limit)) {
      views.push_back(ViewOf(row));
    }
    return views;
  });
}

absl::StatusOr<std::vector<AssignmentView>> RolloutStore::Admitted(db::Session& session,
                                                                   const std::string& gateway) {
  static const auto& sql = *new std::string(
      absl::StrCat("SELECT ", ViewColumns(), kViewTables, "WHERE a.gateway = $1 AND a.state BETWEEN ",
                   kFirstActive, " AND ", kFirstEnded - 1, " ORDER BY a.ecu_serial"));
  std::vector<AssignmentView> views;
  for (const pqxx::row& row : db::ExecPrepared(session, "admitted_of_gateway", sql, gateway)) {
    views.push_back(ViewOf(row));
  }
  return views;
}

absl::StatusOr<std::vector<AssignmentView>> RolloutStore::Ahead(db::Session& session,
                                                                const std::string& gateway) {
  static const auto& sql = *new std::string(
      absl::StrCat("SELECT ", ViewColumns(), kViewTables, "WHERE a.gateway = $1 AND a.state BETWEEN ",
                   static_cast<int>(AssignmentState::kAwaitingConsent), " AND ",
                   static_cast<int>(AssignmentState::kConsented),
                   " AND o.state = ", static_cast<int>(RolloutState::kRunning), " ORDER BY a.ecu_serial"));
  std::vector<AssignmentView> views;
  for (const pqxx::row& row : db::ExecPrepared(session, "ahead_of_gateway", sql, gateway)) {
    views.push_back(ViewOf(row));
  }
  return views;
}

}  // namespace countersign::rollout
