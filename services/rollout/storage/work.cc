#include "services/rollout/storage/work.h"

#include <cstdint>
#include <optional>

#include "absl/strings/str_cat.h"
#include "common/db/sql.h"
#include "common/feed/outbox.h"
#include "services/rollout/storage/outcomes.h"
#include "services/rollout/storage/rows.h"

namespace countersign::rollout {
namespace {

int Number(AssignmentState state) { return static_cast<int>(state); }

const std::string& LockRolloutsSql() {
  static const auto& sql = *new std::string(
      absl::StrCat("SELECT ", kRolloutColumns,
                   " FROM rollouts o WHERE o.id = ANY($1::text[]) ORDER BY o.id FOR UPDATE OF o"));
  return sql;
}

const std::string& TryLockRolloutSql() {
  static const auto& sql = *new std::string(absl::StrCat(
      "SELECT ", kRolloutColumns, " FROM rollouts o WHERE o.id = $1 FOR UPDATE OF o SKIP LOCKED"));
  return sql;
}

const std::string& LockByKeySql() {
  static const auto& sql =
      *new std::string(absl::StrCat("SELECT ", kAssignmentColumns,
                                    " FROM assignments a WHERE (a.gateway, a.ecu_serial, a.rollout) IN "
                                    "(SELECT * FROM unnest($1::text[], $2::text[], $3::text[])) "
                                    "ORDER BY a.gateway, a.ecu_serial, a.rollout FOR UPDATE"));
  return sql;
}

const std::string& LockByStateSql() {
  static const auto& sql =
      *new std::string(absl::StrCat("SELECT ", kAssignmentColumns,
                                    " FROM assignments a WHERE a.rollout = $1 AND a.state BETWEEN $2 AND $3 "
                                    "ORDER BY a.gateway, a.ecu_serial LIMIT $4 FOR UPDATE"));
  return sql;
}

const std::string& LockDueSql() {
  static const auto& sql = *new std::string(absl::StrCat(
      "SELECT ", kAssignmentColumns,
      " FROM assignments a WHERE a.rollout = $1 AND a.state BETWEEN $2 AND $3 AND a.due_time <= $5 "
      "ORDER BY a.due_time LIMIT $4 FOR UPDATE"));
  return sql;
}

const std::string& LockActiveSql() {
  static const auto& sql = *new std::string(absl::StrCat(
      "SELECT ", kAssignmentColumns, " FROM assignments a WHERE a.gateway = $1 AND a.state BETWEEN ",
      kFirstActive, " AND ", kFirstEnded - 1, " ORDER BY a.ecu_serial, a.rollout FOR UPDATE"));
  return sql;
}

constexpr char kSaveAssignments[] = R"sql(
  UPDATE assignments a
  SET state = u.state, failure_reason = u.failure_reason, failure_detail = u.failure_detail,
      consent_record = u.consent_record, consented_by = u.consented_by,
      signed_consent = COALESCE(u.signed_consent, a.signed_consent), consent_until = u.consent_until,
      proxied = u.proxied, admit_time = u.admit_time, update_time = $14, due_time = u.due_time
  FROM unnest($1::text[], $2::text[], $3::text[], $4::integer[], $5::integer[], $6::text[], $7::text[], $8::text[],
              $9::bytea[], $10::timestamptz[], $11::boolean[], $12::timestamptz[], $13::timestamptz[])
    AS u(gateway, ecu_serial, rollout, state, failure_reason, failure_detail, consent_record, consented_by,
         signed_consent, consent_until, proxied, admit_time, due_time)
  WHERE a.gateway = u.gateway AND a.ecu_serial = u.ecu_serial AND a.rollout = u.rollout)sql";

constexpr char kSaveRollout[] = R"sql(
  UPDATE rollouts
  SET state = $2, state_reason = $3, launched_by = $4, launch_time = $5, end_time = $6, waiting = $7, active = $8,
      succeeded = $9, failed = $10, cancelled = $11, failures_since_go = $12, revision = revision + 1
  WHERE id = $1)sql";

constexpr char kBumpDirector[] = R"sql(
  INSERT INTO director_metadata (gateway) SELECT g FROM unnest($1::text[]) AS g ORDER BY g
  ON CONFLICT (gateway) DO UPDATE SET revision = director_metadata.revision + 1)sql";

constexpr char kCloseQuestions[] = R"sql(
  INSERT INTO closing_questions (gateway, ecu_serial, rollout)
  SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) ON CONFLICT DO NOTHING)sql";

// The gateway knows what it reported itself, and what its own manifest proved.
bool IsNewsToGateway(AssignmentEvent event) {
  return event != AssignmentEvent::kReportedFailed && event != AssignmentEvent::kReportedRolledBack &&
         event != AssignmentEvent::kImageProved;
}

}  // namespace

void BumpDirector(db::Transaction& tx, const std::set<std::string>& gateways) {
  if (gateways.empty()) return;
  const std::vector<std::string> sorted(gateways.begin(), gateways.end());
  tx.exec_params(kBumpDirector, db::TextArray(sorted));
}

void Work::LockRollouts(const std::set<std::string>& ids) {
  std::vector<std::string> missing;
  for (const std::string& id : ids) {
    if (!rollouts_.contains(id)) missing.push_back(id);
  }
  if (missing.empty()) return;
  for (const pqxx::row& row :
       db::ExecPrepared(tx_, "lock_rollouts", LockRolloutsSql(), db::TextArray(missing))) {
    Rollout rollout = RolloutOf(row);
    rollouts_.insert_or_assign(rollout.id, std::move(rollout));
  }
}

Rollout* Work::TryLockRollout(const std::string& id) {
  const pqxx::result rows = db::ExecPrepared(tx_, "try_lock_rollout", TryLockRolloutSql(), id);
  if (rows.empty()) return nullptr;
  return &rollouts_.insert_or_assign(id, RolloutOf(rows[0])).first->second;
}

Rollout* Work::FindRollout(const std::string& id) {
  const auto found = rollouts_.find(id);
  return found == rollouts_.end() ? nullptr : &found->second;
}

namespace {

std::vector<Assignment*> Add(std::vector<std::unique_ptr<Assignment>>& all, const pqxx::result& rows) {
  std::vector<Assignment*> added;
  for (const pqxx::row& row : rows) {
    all.push_back(std::make_unique<Assignment>(AssignmentOf(row)));
    added.push_back(all.back().get());
  }
  return added;
}

}  // namespace

std::vector<Assignment*> Work::LockAssignments(const std::vector<AssignmentKey>& keys) {
  std::vector<std::string> gateways, serials, rollouts;
  for (const AssignmentKey& key : keys) {
    gateways.push_back(key.gateway);
    serials.push_back(key.ecu_serial);
    rollouts.push_back(key.rollout);
  }
  return Add(assignments_, db::ExecPrepared(tx_, "lock_assignments", LockByKeySql(), db::TextArray(gateways),
                                            db::TextArray(serials), db::TextArray(rollouts)));
}

std::vector<Assignment*> Work::LockAssignments(const std::string& rollout, AssignmentState from,
                                               AssignmentState to, bool due, int limit) {
  if (due) {
    return Add(assignments_, db::ExecPrepared(tx_, "lock_due_assignments", LockDueSql(), rollout,
                                              Number(from), Number(to), limit, db::Timestamp(now_)));
  }
  return Add(assignments_, db::ExecPrepared(tx_, "lock_assignments_by_state", LockByStateSql(), rollout,
                                            Number(from), Number(to), limit));
}

std::vector<Assignment*> Work::LockActive(const std::string& gateway) {
  return Add(assignments_, db::ExecPrepared(tx_, "lock_active_assignments", LockActiveSql(), gateway));
}

void Work::CloseQuestion(const Assignment& assignment) {
  closing_.insert({assignment.gateway, assignment.ecu_serial, assignment.rollout});
}

bool Work::Apply(Assignment& assignment, AssignmentEvent event) {
  return Apply(assignment, event, FailureReason::kNone, "");
}

bool Work::Apply(Assignment& assignment, AssignmentEvent event, FailureReason reason,
                 absl::string_view detail) {
  const AssignmentState before = assignment.state;
  const std::optional<AssignmentState> next = Next(before, event);
  if (!next.has_value()) return false;
  if (*next == before) return true;
  const bool counts = IsWaiting(before) != IsWaiting(*next) || IsEnded(before) != IsEnded(*next);
  if (counts && FindRollout(assignment.rollout) == nullptr) return false;
  assignment.state = *next;
  changed_.insert(&assignment);

  if (Rollout* rollout = FindRollout(assignment.rollout); rollout != nullptr) {
    Count(*rollout, before, *next);
    Touch(*rollout);
    if (event == AssignmentEvent::kAdmitted) assignment.admit_time = now_;
    assignment.due_time = DueTime(assignment, *rollout, now_);
  }
  if (IsEnded(*next)) {
    assignment.failure_reason = static_cast<int>(reason);
    assignment.failure_detail = std::string(detail);
    // It may have been asked just now by a worker that has not told yet.
    const bool open = IsWaiting(before) && before != AssignmentState::kConsented;
    if (open && event != AssignmentEvent::kConsentDenied) CloseQuestion(assignment);
  }
  if (IsActive(before) != IsActive(*next)) {
    director_.insert(assignment.gateway);
    if (IsNewsToGateway(event)) hints_.emplace(assignment.gateway, kHintMetadata);
  }
  if (*next == AssignmentState::kAwaitingConsent) {
    // What the user is asked about may be fetched ahead.
    director_.insert(assignment.gateway);
    hints_.emplace(assignment.gateway, kHintPrompts);
  }
  // What was to be fetched ahead need not be any more. That is worth no hint.
  if (IsWaiting(before) && before != AssignmentState::kPlanned && IsEnded(*next)) {
    director_.insert(assignment.gateway);
  }
  return true;
}

std::string Work::VersionOf(const std::string& rollout, int release) {
  const pqxx::result rows = db::ExecPrepared(
      tx_, "release_version", "SELECT version FROM rollout_releases WHERE rollout = $1 AND ordinal = $2",
      rollout, release);
  return rows.empty() ? "" : db::TextOf(rows[0][0]);
}

std::vector<Ended> Work::Save() {
  std::vector<std::string> gateways, serials, rollouts, details, records, principals;
  std::vector<int32_t> states, reasons;
  std::vector<std::optional<std::string>> consents;
  std::vector<std::optional<absl::Time>> untils, admits, dues;
  std::vector<bool> proxied;
  std::vector<Ended> ended;
  std::vector<FailedUpdate> failures;
  for (const std::unique_ptr<Assignment>& entry : assignments_) {
    const Assignment& assignment = *entry;
    if (!changed_.contains(&assignment)) continue;
    gateways.push_back(assignment.gateway);
    serials.push_back(assignment.ecu_serial);
    rollouts.push_back(assignment.rollout);
    states.push_back(Number(assignment.state));
    reasons.push_back(assignment.failure_reason);
    details.push_back(assignment.failure_detail);
    records.push_back(assignment.consent_record);
    principals.push_back(assignment.consented_by);
    // Records are written when they come, that is while the component waits; later they would only be copied.
    const bool has_news = !assignment.signed_consent.empty() && !IsActive(assignment.state);
    consents.push_back(has_news ? std::make_optional(assignment.signed_consent) : std::nullopt);
    untils.push_back(assignment.consent_until);
    proxied.push_back(assignment.proxied);
    admits.push_back(assignment.admit_time);
    dues.push_back(assignment.due_time);
    if (IsEnded(assignment.state)) ended.push_back({assignment.state, assignment.failure_reason});
    if (IsFailure(assignment.state)) {
      failures.push_back({assignment.gateway, assignment.ecu_serial, assignment.rollout, assignment.state,
                          assignment.failure_reason, assignment.failure_detail,
                          VersionOf(assignment.rollout, assignment.release)});
    }
  }
  if (!gateways.empty()) {
    db::ExecPrepared(
        tx_, "save_assignments", kSaveAssignments, db::TextArray(gateways), db::TextArray(serials),
        db::TextArray(rollouts), db::IntegerArray(states), db::IntegerArray(reasons), db::TextArray(details),
        db::TextArray(records), db::TextArray(principals), db::NullableBytesArray(consents),
        db::NullableTimestampArray(untils), db::BooleanArray(proxied), db::NullableTimestampArray(admits),
        db::NullableTimestampArray(dues), db::Timestamp(now_));
  }
  for (const std::string& id : touched_) {
    Rollout& rollout = rollouts_.at(id);
    Settle(rollout, now_);
    ++rollout.revision;
    db::ExecPrepared(tx_, "save_rollout", kSaveRollout, rollout.id, static_cast<int>(rollout.state),
                     rollout.state_reason, rollout.launched_by, db::NullableTimestamp(rollout.launch_time),
                     db::NullableTimestamp(rollout.end_time), rollout.counts.waiting, rollout.counts.active,
                     rollout.counts.succeeded, rollout.counts.failed, rollout.counts.cancelled,
                     rollout.failures_since_go);
  }
  BumpDirector(tx_, director_);
  if (!closing_.empty()) {
    std::vector<std::string> closing_gateways, closing_serials, closing_rollouts;
    for (const AssignmentKey& key : closing_) {
      closing_gateways.push_back(key.gateway);
      closing_serials.push_back(key.ecu_serial);
      closing_rollouts.push_back(key.rollout);
    }
    tx_.exec_params(kCloseQuestions, db::TextArray(closing_gateways), db::TextArray(closing_serials),
                    db::TextArray(closing_rollouts));
  }
  std::vector<feed::NewEvent> events;
  for (const auto& [gateway, subject] : hints_) events.push_back({kHintKind, gateway, subject});
  for (const FailedUpdate& failure : failures) {
    events.push_back({kFailureKind, failure.gateway, EncodeFailure(failure)});
  }
  if (!events.empty()) feed::Append(tx_, events);
  return ended;
}

}  // namespace countersign::rollout
