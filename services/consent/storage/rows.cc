#include "services/consent/storage/rows.h"

#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/db/sql.h"

namespace countersign::consent {

const char kPolicyColumns[] =
    "gateway, id, principal_id, kinds::text[] AS kinds, minimum_criticality, ecu_serials, "
    "accepted_terms_sha256, "
    "language, text_sha256, active, created_at";
const char kQuestionColumns[] =
    "q.gateway, q.id, q.assignment, q.ecu_serial, q.target_path, q.image_sha256, q.from_version, "
    "q.to_version, "
    "q.kind, q.criticality, q.terms_sha256, q.notices, q.wire, q.state, q.created_at, q.asked_at, "
    "q.latest_deferral, q.due_at, q.recorded_at, q.decided_at, q.valid_until, q.decision, q.principal_id, "
    "q.policy_id, q.text_sha256, q.signed_record";

namespace {

constexpr char kInsertPolicy[] = R"(
  INSERT INTO policies (gateway, id, principal_id, kinds, minimum_criticality, ecu_serials, accepted_terms_sha256,
                        language, text_sha256, active, created_at)
  VALUES ($1, $2, $3, $4::integer[], $5, $6::text[], $7::text[], $8, $9, $10, $11))";

constexpr char kSaveQuestions[] = R"(
  INSERT INTO questions (gateway, id, assignment, ecu_serial, target_path, image_sha256, from_version, to_version,
                         kind, criticality, terms_sha256, notices, wire, state, created_at, asked_at,
                         latest_deferral, due_at, recorded_at, decided_at, valid_until, decision, principal_id,
                         policy_id, text_sha256, signed_record)
  SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                       $8::text[], $9::integer[], $10::integer[], $11::text[], $12::text[], $13::bytea[],
                       $14::integer[], $15::timestamptz[], $16::timestamptz[], $17::timestamptz[],
                       $18::timestamptz[], $19::timestamptz[], $20::timestamptz[], $21::timestamptz[],
                       $22::bigint[], $23::text[], $24::text[], $25::text[], $26::bytea[])
  ON CONFLICT (gateway, id) DO UPDATE SET
    wire = excluded.wire, state = excluded.state, asked_at = excluded.asked_at,
    latest_deferral = excluded.latest_deferral, due_at = excluded.due_at, recorded_at = excluded.recorded_at,
    decided_at = excluded.decided_at, valid_until = excluded.valid_until, decision = excluded.decision,
    principal_id = excluded.principal_id, policy_id = excluded.policy_id, text_sha256 = excluded.text_sha256,
    signed_record = excluded.signed_record)";

constexpr char kAppendDecisions[] = R"(
  INSERT INTO record_events (gateway, id, decision, principal_id, policy_id, decided_at, valid_until, signed_record)
  SELECT * FROM unnest($1::text[], $2::text[], $3::integer[], $4::text[], $5::text[], $6::timestamptz[],
                       $7::timestamptz[], $8::bytea[]))";

std::string NoticesText(const std::vector<NoticeDigest>& notices) {
  return absl::StrJoin(notices, "\n", [](std::string* out, const NoticeDigest& notice) {
    absl::StrAppend(out, notice.language, " ", notice.text_sha256);
  });
}

std::vector<NoticeDigest> NoticesOf(const std::string& text) {
  std::vector<NoticeDigest> notices;
  for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const std::pair<std::string, std::string> parts = absl::StrSplit(line, absl::MaxSplits(' ', 1));
    notices.push_back({parts.first, parts.second});
  }
  return notices;
}

}  // namespace

Policy PolicyOf(const pqxx::row& row) {
  Policy policy;
  policy.gateway = db::TextOf(row["gateway"]);
  policy.id = db::TextOf(row["id"]);
  policy.principal_id = db::TextOf(row["principal_id"]);
  for (const std::string& kind : db::TextArrayOf(row["kinds"])) {
    policy.kinds.push_back(static_cast<UpdateKind>(std::stoi(kind)));
  }
  if (const auto minimum = db::NullableOf<int>(row["minimum_criticality"])) {
    policy.minimum_criticality = static_cast<Criticality>(*minimum);
  }
  policy.ecu_serials = db::TextArrayOf(row["ecu_serials"]);
  policy.accepted_terms_sha256 = db::TextArrayOf(row["accepted_terms_sha256"]);
  policy.language = db::TextOf(row["language"]);
  policy.text_sha256 = db::TextOf(row["text_sha256"]);
  policy.active = row["active"].as<bool>();
  policy.created_at = db::TimeOf(row["created_at"]);
  return policy;
}

AskedQuestion QuestionOf(const pqxx::row& row) {
  AskedQuestion asked;
  Question& question = asked.question;
  question.gateway = db::TextOf(row["gateway"]);
  asked.id = db::TextOf(row["id"]);
  question.assignment = db::TextOf(row["assignment"]);
  question.ecu_serial = db::TextOf(row["ecu_serial"]);
  question.target_path = db::TextOf(row["target_path"]);
  question.image_sha256 = db::TextOf(row["image_sha256"]);
  question.from_version = db::TextOf(row["from_version"]);
  question.to_version = db::TextOf(row["to_version"]);
  question.kind = static_cast<UpdateKind>(row["kind"].as<int>());
  question.criticality = static_cast<Criticality>(row["criticality"].as<int>());
  question.terms_sha256 = db::TextOf(row["terms_sha256"]);
  question.notices = NoticesOf(db::TextOf(row["notices"]));
  asked.wire = db::NullableBytesOf(row["wire"]).value_or("");
  asked.state = static_cast<QuestionState>(row["state"].as<int>());
  asked.created_at = db::TimeOf(row["created_at"]);
  asked.asked_at = db::NullableTimeOf(row["asked_at"]);
  asked.latest_deferral = db::NullableTimeOf(row["latest_deferral"]);
  asked.due_at = db::NullableTimeOf(row["due_at"]);
  asked.recorded_at = db::NullableTimeOf(row["recorded_at"]);
  if (!row["decision"].is_null()) {
    asked.decision = DecisionMade{.decision = static_cast<QuestionState>(row["decision"].as<int>()),
                                  .principal_id = db::TextOf(row["principal_id"]),
                                  .policy_id = db::TextOf(row["policy_id"]),
                                  .text_sha256 = db::TextOf(row["text_sha256"]),
                                  .decided_at = db::TimeOf(row["decided_at"]),
                                  .valid_until = db::TimeOf(row["valid_until"]),
                                  .signed_record = db::BytesOf(row["signed_record"])};
  }
  return asked;
}

void InsertPolicy(db::Transaction& tx, const Policy& policy) {
  std::vector<int32_t> kinds;
  for (const UpdateKind kind : policy.kinds) kinds.push_back(static_cast<int32_t>(kind));
  const std::optional<int> minimum = policy.minimum_criticality
                                         ? std::optional<int>(static_cast<int>(*policy.minimum_criticality))
                                         : std::nullopt;
  tx.exec_params(kInsertPolicy, policy.gateway, policy.id, policy.principal_id, db::IntegerArray(kinds),
                 minimum, db::TextArray(policy.ecu_serials), db::TextArray(policy.accepted_terms_sha256),
                 policy.language, policy.text_sha256, policy.active, db::Timestamp(policy.created_at));
}

void SaveQuestions(db::Transaction& tx, absl::Span<const AskedQuestion> questions) {
  using Texts = std::vector<std::string>;
  using NullableTexts = std::vector<std::optional<std::string>>;
  using NullableTimes = std::vector<std::optional<absl::Time>>;
  Texts gateways, ids, assignments, serials, paths, digests, from, to, terms, notices;
  std::vector<int32_t> kinds, criticalities, states;
  std::vector<absl::Time> created;
  NullableTimes asked_at, latest, due, recorded, decided, until;
  std::vector<std::optional<int64_t>> decisions;
  NullableTexts wires, principals, policies, texts, records;
  for (const AskedQuestion& asked : questions) {
    const Question& question = asked.question;
    gateways.push_back(question.gateway);
    ids.push_back(asked.id);
    assignments.push_back(question.assignment);
    serials.push_back(question.ecu_serial);
    paths.push_back(question.target_path);
    digests.push_back(question.image_sha256);
    from.push_back(question.from_version);
    to.push_back(question.to_version);
    kinds.push_back(static_cast<int32_t>(question.kind));
    criticalities.push_back(static_cast<int32_t>(question.criticality));
    terms.push_back(question.terms_sha256);
    notices.push_back(NoticesText(question.notices));
    wires.push_back(asked.wire.empty() ? std::nullopt : std::optional<std::string>(asked.wire));
    states.push_back(static_cast<int32_t>(asked.state));
    created.push_back(asked.created_at);
    asked_at.push_back(asked.asked_at);
    latest.push_back(asked.latest_deferral);
    due.push_back(asked.due_at);
    recorded.push_back(asked.recorded_at);
    const std::optional<DecisionMade>& made = asked.decision;
    decided.push_back(made ? std::optional<absl::Time>(made->decided_at) : std::nullopt);
    until.push_back(made ? std::optional<absl::Time>(made->valid_until) : std::nullopt);
    decisions.push_back(made ? std::optional<int64_t>(static_cast<int64_t>(made->decision)) : std::nullopt);
    principals.push_back(made ? std::optional<std::string>(made->principal_id) : std::nullopt);
    policies.push_back(made ? std::optional<std::string>(made->policy_id) : std::nullopt);
    texts.push_back(made ? std::optional<std::string>(made->text_sha256) : std::nullopt);
    records.push_back(made ? std::optional<std::string>(made->signed_record) : std::nullopt);
  }
  tx.exec_params(kSaveQuestions, db::TextArray(gateways), db::TextArray(ids), db::TextArray(assignments),
                 db::TextArray(serials), db::TextArray(paths), db::TextArray(digests), db::TextArray(from),
                 db::TextArray(to), db::IntegerArray(kinds), db::IntegerArray(criticalities),
                 db::TextArray(terms), db::TextArray(notices), db::NullableBytesArray(wires),
                 db::IntegerArray(states), db::TimestampArray(created), db::NullableTimestampArray(asked_at),
                 db::NullableTimestampArray(latest), db::NullableTimestampArray(due),
                 db::NullableTimestampArray(recorded), db::NullableTimestampArray(decided),
                 db::NullableTimestampArray(until), db::NullableBigintArray(decisions),
                 db::NullableTextArray(principals), db::NullableTextArray(policies),
                 db::NullableTextArray(texts), db::NullableBytesArray(records));
}

void AppendDecisions(db::Transaction& tx, absl::Span<const AskedQuestion> questions) {
  std::vector<std::string> gateways, ids, principals, policies, records;
  std::vector<int32_t> decisions;
  std::vector<absl::Time> decided, until;
  for (const AskedQuestion& asked : questions) {
    gateways.push_back(asked.question.gateway);
    ids.push_back(asked.id);
    decisions.push_back(static_cast<int32_t>(asked.decision->decision));
    principals.push_back(asked.decision->principal_id);
    policies.push_back(asked.decision->policy_id);
    decided.push_back(asked.decision->decided_at);
    until.push_back(asked.decision->valid_until);
    records.push_back(asked.decision->signed_record);
  }
  tx.exec_params(kAppendDecisions, db::TextArray(gateways), db::TextArray(ids), db::IntegerArray(decisions),
                 db::TextArray(principals), db::TextArray(policies), db::TimestampArray(decided),
                 db::TimestampArray(until), db::BytesArray(records));
}

}  // namespace countersign::consent
