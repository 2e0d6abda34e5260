#ifndef COUNTERSIGN_SERVICES_CONSENT_STORAGE_CHANGES_H_
#define COUNTERSIGN_SERVICES_CONSENT_STORAGE_CHANGES_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/db/database.h"
#include "services/consent/domain/answer.h"
#include "services/consent/domain/policy.h"
#include "services/consent/domain/question.h"
#include "services/consent/domain/recorder.h"

namespace countersign::consent {

// What the service decides by.
struct Rules {
  absl::Duration grant_validity = absl::Hours(30 * 24);   // of a yes
  absl::Duration prompt_validity = absl::Hours(90 * 24);  // of a question that nobody answers
  DeferralLimits deferral_limits;
};

// A new question, with the bytes that whoever shows it wants.
struct NewQuestion {
  Question question;
  std::string wire;
};

struct QuestionKey {
  std::string gateway;
  std::string assignment;
};

// The kind of the outbox's events: their payload is the record as Watch sends it.
inline constexpr char kDecisionEvent[] = "consent.decided";

// The changes of one transaction that holds the locks of the gateways concerned, so that each gateway's
// changes come one after the other. Every decision is signed, appended to the record's events and to the
// outbox. Made by ConsentStore::Change; not thread-safe. All methods throw pqxx's exceptions.
class Changes {
 public:
  struct Parts {
    const Rules& rules;
    const Recorder& recorder;
    const std::function<std::string(const AskedQuestion&)>& encode;
  };

  Changes(db::Transaction& tx, const Parts& parts, absl::Time now) : tx_(tx), parts_(parts), now_(now) {}

  db::Transaction& tx() { return tx_; }
  absl::Time now() const { return now_; }
  // What was decided so far.
  const std::vector<AskedQuestion>& decided() const { return decided_; }

  // Answers questions as far as that goes without the user, and asks for the rest; in the request's order. A
  // question of the same assignment about another image is closed.
  absl::StatusOr<std::vector<AskedQuestion>> Request(absl::Span<const NewQuestion> questions);

  // Closes what of these waits for an answer.
  absl::Status Close(absl::Span<const QuestionKey> keys);

  // NOT_FOUND (PROMPT_NOT_FOUND), else as Decide().
  absl::StatusOr<AskedQuestion> Answer(const std::string& gateway, const std::string& id,
                                       const consent::Answer& answer);

  // NOT_FOUND (RECORD_NOT_FOUND), FAILED_PRECONDITION (NOT_GRANTED).
  absl::StatusOr<AskedQuestion> Withdraw(const std::string& gateway, const std::string& id,
                                         const std::string& principal_id);

  // Keeps the policy, and grants what waits and is covered by it. RESOURCE_EXHAUSTED (POLICY_LIMIT).
  absl::Status AddPolicy(const Policy& policy);

  // Ends the policy and withdraws what it has granted. NOT_FOUND (POLICY_NOT_FOUND).
  absl::StatusOr<Policy> WithdrawPolicy(const std::string& gateway, const std::string& id);

  // What the time has brought about for these gateways: grants that are over, deferrals that end, questions
  // that nobody has answered.
  absl::Status ApplyDue(absl::Span<const std::string> gateways);

 private:
  absl::StatusOr<AskedQuestion> NewlyAsked(const NewQuestion& asked, const Policy* policy);
  void Wait(AskedQuestion& asked) const;
  absl::Status GrantByPolicy(AskedQuestion& asked, const Policy& policy);
  absl::Status Record(AskedQuestion& asked, DecisionMade decision);
  absl::Status EndGrant(AskedQuestion& asked, QuestionEvent event, const std::string& principal_id);
  std::vector<AskedQuestion> Select(const std::string& condition, const std::string& gateway,
                                    const std::string& argument);
  absl::Status Save(absl::Span<const AskedQuestion> changed);

  db::Transaction& tx_;
  const Parts parts_;
  const absl::Time now_;
  std::vector<AskedQuestion> decided_;
  size_t saved_decisions_ = 0;
};

}  // namespace countersign::consent

#endif  // COUNTERSIGN_SERVICES_CONSENT_STORAGE_CHANGES_H_
