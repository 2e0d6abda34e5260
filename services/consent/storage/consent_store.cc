#include "services/consent/storage/consent_store.h"

#include "absl/strings/str_cat.h"
#include "common/db/sql.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "services/consent/storage/rows.h"

namespace countersign::consent {
namespace {

// In the order of their names, so that two who want several of the same gateways do not wait for each other.
constexpr char kKnowGateways[] =
    "INSERT INTO gateways SELECT DISTINCT g FROM unnest($1::text[]) AS g ORDER BY g ON CONFLICT DO NOTHING";
constexpr char kLockGateways[] =
    "SELECT FROM gateways WHERE gateway = ANY($1::text[]) ORDER BY gateway FOR UPDATE";
constexpr char kDueGateways[] = R"(
  SELECT DISTINCT gateway FROM (SELECT gateway FROM questions WHERE due_at <= $1 ORDER BY due_at LIMIT $2) AS due)";

using After = ConsentStore::After;

After Start() { return {"-infinity", "", ""}; }

}  // namespace

ConsentStore::ConsentStore(db::Database& database, Recorder recorder, Options options)
    : database_(database), recorder_(std::move(recorder)), options_(std::move(options)) {}

absl::Status ConsentStore::ChangeErased(absl::string_view name, const std::vector<std::string>& gateways,
                                        absl::Time now, absl::FunctionRef<absl::Status(Changes&)> body) {
  std::vector<AskedQuestion> decided;
  RETURN_IF_ERROR(database_.RunInTransaction(name, [&](db::Transaction& tx) -> absl::Status {
    tx.exec_params(kKnowGateways, db::TextArray(gateways));
    tx.exec_params(kLockGateways, db::TextArray(gateways));
    Changes changes(tx, {options_.rules, recorder_, options_.encode}, now);
    RETURN_IF_ERROR(changes.ApplyDue(gateways));
    RETURN_IF_ERROR(body(changes));
    decided = changes.decided();
    return absl::OkStatus();
  }));
  Report(decided);
  return absl::OkStatus();
}

void ConsentStore::Report(const std::vector<AskedQuestion>& decided) const {
  if (!options_.on_decision) return;
  for (const AskedQuestion& asked : decided) options_.on_decision(asked.decision->decision);
}

std::string ConsentStore::TimeKey(absl::Time time) { return db::Timestamp(time); }

absl::StatusOr<AskedQuestion> ConsentStore::GetRecord(const std::string& gateway, const std::string& id) {
  const std::string sql =
      absl::StrCat("SELECT ", kQuestionColumns,
                   " FROM questions q WHERE q.gateway = $1 AND q.id = $2 AND q.decision IS NOT NULL");
  return database_.Read("GetRecord", [&](db::Reader& reader) -> absl::StatusOr<AskedQuestion> {
    const pqxx::result rows = reader.exec_params(sql, gateway, id);
    if (rows.empty()) {
      return Error(absl::StatusCode::kNotFound, "RECORD_NOT_FOUND",
                   absl::StrCat("Gateway ", gateway, " has no record ", id, "."));
    }
    return QuestionOf(rows[0]);
  });
}

absl::StatusOr<std::vector<Policy>> ConsentStore::ListPolicies(const std::optional<std::string>& gateway,
                                                               const std::optional<After>& after, int limit) {
  const std::string sql = absl::StrCat("SELECT ", kPolicyColumns, " FROM policies WHERE ",
                                       gateway ? "gateway = $1 AND " : "$1 = '' AND ",
                                       "(gateway, id) > ($2, $3) ORDER BY gateway, id LIMIT $4");
  const After from = after.value_or(Start());
  return database_.Read("ListPolicies", [&](db::Reader& reader) -> absl::StatusOr<std::vector<Policy>> {
    std::vector<Policy> policies;
    for (const pqxx::row& row : reader.exec_params(sql, gateway.value_or(""), from.gateway, from.id, limit)) {
      policies.push_back(PolicyOf(row));
    }
    return policies;
  });
}

absl::StatusOr<std::vector<AskedQuestion>> ConsentStore::ListPrompts(
    const std::optional<std::string>& gateway, bool show_closed, const std::optional<After>& after,
    int limit) {
  const std::string sql = absl::StrCat(
      "SELECT ", kQuestionColumns, " FROM questions q WHERE ", gateway ? "q.gateway = $1" : "$1 = ''",
      " AND ", show_closed ? "q.asked_at IS NOT NULL" : "q.state = 1",
      " AND (q.asked_at, q.gateway, q.id) > ($2, $3, $4) ORDER BY q.asked_at, q.gateway, q.id LIMIT $5");
  const After from = after.value_or(Start());
  return database_.Read("ListPrompts", [&](db::Reader& reader) -> absl::StatusOr<std::vector<AskedQuestion>> {
    std::vector<AskedQuestion> prompts;
    for (const pqxx::row& row :
         reader.exec_params(sql, gateway.value_or(""), from.time, from.gateway, from.id, limit)) {
      prompts.push_back(QuestionOf(row));
    }
    return prompts;
  });
}

absl::StatusOr<std::vector<AskedQuestion>> ConsentStore::ListRecords(
    const std::optional<std::string>& gateway, const std::optional<After>& after, int limit) {
  const std::string sql = absl::StrCat(
      "SELECT ", kQuestionColumns, " FROM questions q WHERE ", gateway ? "q.gateway = $1" : "$1 = ''",
      " AND q.recorded_at IS NOT NULL AND (q.recorded_at, q.gateway, q.id) > ($2, $3, $4) ",
      "ORDER BY q.recorded_at, q.gateway, q.id LIMIT $5");
  const After from = after.value_or(Start());
  return database_.Read("ListRecords", [&](db::Reader& reader) -> absl::StatusOr<std::vector<AskedQuestion>> {
    std::vector<AskedQuestion> records;
    for (const pqxx::row& row :
         reader.exec_params(sql, gateway.value_or(""), from.time, from.gateway, from.id, limit)) {
      records.push_back(QuestionOf(row));
    }
    return records;
  });
}

absl::StatusOr<std::vector<std::string>> ConsentStore::DueGateways(absl::Time now, int limit) {
  return database_.Read("DueGateways", [&](db::Reader& reader) -> absl::StatusOr<std::vector<std::string>> {
    std::vector<std::string> gateways;
    for (const pqxx::row& row : reader.exec_params(kDueGateways, db::Timestamp(now), limit)) {
      gateways.push_back(db::TextOf(row[0]));
    }
    return gateways;
  });
}

}  // namespace countersign::consent
