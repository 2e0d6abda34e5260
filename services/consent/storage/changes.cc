#include "services/consent/storage/changes.h"

#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/crypto/random.h"
#include "common/db/sql.h"
#include "common/feed/outbox.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "services/consent/storage/rows.h"

namespace countersign::consent {
namespace {

// A home has few users and few policies; each is looked at for every question.
constexpr int kMaxActivePolicies = 100;

using Key = std::tuple<std::string, std::string, std::string>;  // gateway, assignment, image

Key KeyOf(const Question& question) { return {question.gateway, question.assignment, question.image_sha256}; }

bool IsOpen(const AskedQuestion& asked) {
  return asked.state == QuestionState::kWaiting || asked.state == QuestionState::kDeferred;
}

absl::Status NotFound(absl::string_view reason, absl::string_view what, absl::string_view gateway,
                      absl::string_view id) {
  return Error(absl::StatusCode::kNotFound, reason,
               absl::StrCat("Gateway ", gateway, " has no ", what, " ", id, "."));
}

}  // namespace

absl::StatusOr<std::vector<AskedQuestion>> Changes::Request(absl::Span<const NewQuestion> questions) {
  std::vector<std::string> gateways, assignments;
  for (const NewQuestion& asked : questions) {
    gateways.push_back(asked.question.gateway);
    assignments.push_back(asked.question.assignment);
  }
  std::map<Key, AskedQuestion> known;
  const std::string existing =
      absl::StrCat("SELECT ", kQuestionColumns,
                   " FROM questions q JOIN (SELECT DISTINCT * FROM unnest($1::text[], $2::text[])) ",
                   "AS t (gateway, assignment) ON q.gateway = t.gateway AND q.assignment = t.assignment");
  for (const pqxx::row& row :
       tx_.exec_params(existing, db::TextArray(gateways), db::TextArray(assignments))) {
    AskedQuestion asked = QuestionOf(row);
    Key key = KeyOf(asked.question);
    known.emplace(std::move(key), std::move(asked));
  }
  std::map<std::string, std::vector<Policy>> policies;
  const std::string active =
      absl::StrCat("SELECT ", kPolicyColumns, " FROM policies WHERE active AND gateway = ANY($1::text[])");
  for (const pqxx::row& row : tx_.exec_params(active, db::TextArray(gateways))) {
    Policy policy = PolicyOf(row);
    policies[policy.gateway].push_back(std::move(policy));
  }

  std::set<Key> changed;
  for (const NewQuestion& asked : questions) {
    const Key key = KeyOf(asked.question);
    const Policy* policy = FindGranting(policies[asked.question.gateway], asked.question);
    const auto found = known.find(key);
    if (found == known.end()) {
      ASSIGN_OR_RETURN(AskedQuestion added, NewlyAsked(asked, policy));
      known.emplace(key, std::move(added));
      changed.insert(key);
    } else if (found->second.state == QuestionState::kClosed) {
      if (policy != nullptr) {
        RETURN_IF_ERROR(GrantByPolicy(found->second, *policy));
      } else {
        ASSIGN_OR_RETURN(found->second.state, Next(found->second.state, QuestionEvent::kAskedAgain));
        Wait(found->second);
      }
      changed.insert(key);
    }
    for (auto& [other_key, other] : known) {
      if (std::get<0>(other_key) != std::get<0>(key) || std::get<1>(other_key) != std::get<1>(key)) continue;
      if (other_key == key || !IsOpen(other)) continue;
      ASSIGN_OR_RETURN(other.state, Next(other.state, QuestionEvent::kOvertaken));
      other.due_at = std::nullopt;
      changed.insert(other_key);
    }
  }

  std::vector<AskedQuestion> to_save;
  for (const Key& key : changed) to_save.push_back(known.at(key));
  RETURN_IF_ERROR(Save(to_save));
  std::vector<AskedQuestion> answers;
  for (const NewQuestion& asked : questions) answers.push_back(known.at(KeyOf(asked.question)));
  return answers;
}

absl::StatusOr<AskedQuestion> Changes::NewlyAsked(const NewQuestion& asked, const Policy* policy) {
  AskedQuestion added;
  added.question = asked.question;
  added.id = crypto::Uuid();
  added.created_at = now_;
  // Kept also when a policy decides: should it be asked for after all, it is there to be shown.
  added.wire = asked.wire;
  if (policy != nullptr) {
    RETURN_IF_ERROR(GrantByPolicy(added, *policy));
  } else {
    Wait(added);
  }
  return added;
}

void Changes::Wait(AskedQuestion& asked) const {
  asked.state = QuestionState::kWaiting;
  if (!asked.asked_at) {
    asked.asked_at = now_;
    const absl::Duration limit = parts_.rules.deferral_limits.For(asked.question.criticality);
    if (limit > absl::ZeroDuration()) asked.latest_deferral = now_ + limit;
  }
  asked.due_at = now_ + parts_.rules.prompt_validity;
}

absl::Status Changes::GrantByPolicy(AskedQuestion& asked, const Policy& policy) {
  return Record(asked, {.decision = QuestionState::kGranted,
                        .principal_id = policy.principal_id,
                        .policy_id = policy.id,
                        .text_sha256 = policy.text_sha256,
                        .decided_at = now_,
                        .valid_until = now_ + parts_.rules.grant_validity,
                        .signed_record = ""});
}

absl::Status Changes::Record(AskedQuestion& asked, DecisionMade decision) {
  RETURN_IF_ERROR(parts_.recorder.Sign(asked.id, asked.question, decision));
  asked.state = decision.decision;
  const bool ends = asked.state == QuestionState::kGranted || asked.state == QuestionState::kDeferred;
  asked.due_at = ends ? std::optional<absl::Time>(decision.valid_until) : std::nullopt;
  if (!asked.recorded_at) asked.recorded_at = now_;
  asked.decision = std::move(decision);
  decided_.push_back(asked);
  return absl::OkStatus();
}

absl::Status Changes::EndGrant(AskedQuestion& asked, QuestionEvent event, const std::string& principal_id) {
  ASSIGN_OR_RETURN(const QuestionState next, Next(asked.state, event));
  DecisionMade decision = *asked.decision;
  decision.decision = next;
  decision.principal_id = principal_id;
  decision.decided_at = now_;
  decision.valid_until = now_;
  return Record(asked, std::move(decision));
}

std::vector<AskedQuestion> Changes::Select(const std::string& condition, const std::string& gateway,
                                           const std::string& argument) {
  std::vector<AskedQuestion> found;
  const std::string sql =
      absl::StrCat("SELECT ", kQuestionColumns, " FROM questions q WHERE q.gateway = $1 AND ", condition);
  for (const pqxx::row& row : tx_.exec_params(sql, gateway, argument)) found.push_back(QuestionOf(row));
  return found;
}

absl::Status Changes::Save(absl::Span<const AskedQuestion> changed) {
  if (changed.empty()) return absl::OkStatus();
  SaveQuestions(tx_, changed);
  const auto decided = absl::MakeConstSpan(decided_).subspan(saved_decisions_);
  if (!decided.empty()) {
    AppendDecisions(tx_, decided);
    std::vector<feed::NewEvent> events;
    for (const AskedQuestion& asked : decided)
      events.push_back({kDecisionEvent, asked.id, parts_.encode(asked)});
    feed::Append(tx_, events);
    saved_decisions_ = decided_.size();
  }
  return absl::OkStatus();
}

absl::Status Changes::Close(absl::Span<const QuestionKey> keys) {
  std::vector<AskedQuestion> closed;
  std::set<std::pair<std::string, std::string>> seen;
  for (const QuestionKey& key : keys) {
    if (!seen.emplace(key.gateway, key.assignment).second) continue;
    for (AskedQuestion& asked : Select("q.assignment = $2", key.gateway, key.assignment)) {
      if (!IsOpen(asked)) continue;
      ASSIGN_OR_RETURN(asked.state, Next(asked.state, QuestionEvent::kOvertaken));
      asked.due_at = std::nullopt;
      closed.push_back(std::move(asked));
    }
  }
  return Save(closed);
}

absl::StatusOr<AskedQuestion> Changes::Answer(const std::string& gateway, const std::string& id,
                                              const consent::Answer& answer) {
  std::vector<AskedQuestion> found = Select("q.id = $2 AND q.asked_at IS NOT NULL", gateway, id);
  if (found.empty()) return NotFound("PROMPT_NOT_FOUND", "prompt", gateway, id);
  ASSIGN_OR_RETURN(DecisionMade decision, Decide(found[0], answer, parts_.rules.grant_validity, now_));
  RETURN_IF_ERROR(Record(found[0], std::move(decision)));
  RETURN_IF_ERROR(Save(found));
  return found[0];
}

absl::StatusOr<AskedQuestion> Changes::Withdraw(const std::string& gateway, const std::string& id,
                                                const std::string& principal_id) {
  std::vector<AskedQuestion> found = Select("q.id = $2 AND q.decision IS NOT NULL", gateway, id);
  if (found.empty()) return NotFound("RECORD_NOT_FOUND", "record", gateway, id);
  RETURN_IF_ERROR(EndGrant(found[0], QuestionEvent::kWithdrawn, principal_id));
  RETURN_IF_ERROR(Save(found));
  return found[0];
}

absl::Status Changes::AddPolicy(const Policy& policy) {
  const int active =
      tx_.exec_params1("SELECT count(*) FROM policies WHERE gateway = $1 AND active", policy.gateway)[0]
          .as<int>();
  if (active >= kMaxActivePolicies) {
    return Error(absl::StatusCode::kResourceExhausted, "POLICY_LIMIT",
                 absl::StrCat("The gateway has ", kMaxActivePolicies, " policies; withdraw some first."));
  }
  InsertPolicy(tx_, policy);
  std::vector<AskedQuestion> granted;
  for (AskedQuestion& asked :
       Select("q.state::text = ANY (string_to_array($2, ','))", policy.gateway, "1,2")) {
    if (!Grants(policy, asked.question)) continue;
    RETURN_IF_ERROR(Next(asked.state, QuestionEvent::kPolicyGrants).status());
    RETURN_IF_ERROR(GrantByPolicy(asked, policy));
    granted.push_back(std::move(asked));
  }
  return Save(granted);
}

absl::StatusOr<Policy> Changes::WithdrawPolicy(const std::string& gateway, const std::string& id) {
  const pqxx::result rows = tx_.exec_params(
      absl::StrCat("SELECT ", kPolicyColumns, " FROM policies WHERE gateway = $1 AND id = $2"), gateway, id);
  if (rows.empty()) return NotFound("POLICY_NOT_FOUND", "policy", gateway, id);
  Policy policy = PolicyOf(rows[0]);
  if (!policy.active) return policy;
  policy.active = false;
  tx_.exec_params("UPDATE policies SET active = false, withdrawn_at = $3 WHERE gateway = $1 AND id = $2",
                  gateway, id, db::Timestamp(now_));
  std::vector<AskedQuestion> withdrawn;
  for (AskedQuestion& asked : Select("q.policy_id = $2", gateway, id)) {
    if (asked.state != QuestionState::kGranted) continue;
    RETURN_IF_ERROR(EndGrant(asked, QuestionEvent::kWithdrawn, policy.principal_id));
    withdrawn.push_back(std::move(asked));
  }
  RETURN_IF_ERROR(Save(withdrawn));
  return policy;
}

absl::Status Changes::ApplyDue(absl::Span<const std::string> gateways) {
  const std::string sql = absl::StrCat(
      "SELECT ", kQuestionColumns, " FROM questions q WHERE q.gateway = ANY($1::text[]) AND q.due_at <= $2");
  std::vector<AskedQuestion> changed;
  for (const pqxx::row& row : tx_.exec_params(sql, db::TextArray(gateways), db::Timestamp(now_))) {
    AskedQuestion asked = QuestionOf(row);
    if (asked.state == QuestionState::kGranted) {
      const std::string principal_id = asked.decision->principal_id;
      RETURN_IF_ERROR(EndGrant(asked, QuestionEvent::kValidityEnds, principal_id));
    } else if (asked.state == QuestionState::kDeferred) {
      ASSIGN_OR_RETURN(asked.state, Next(asked.state, QuestionEvent::kDeferralEnds));
      Wait(asked);
    } else {
      ASSIGN_OR_RETURN(asked.state, Next(asked.state, QuestionEvent::kOvertaken));
      asked.due_at = std::nullopt;
    }
    changed.push_back(std::move(asked));
  }
  return Save(changed);
}

}  // namespace countersign::consent
