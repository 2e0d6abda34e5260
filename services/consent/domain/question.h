// A question whether an update may be installed, and its life.
#ifndef COUNTERSIGN_SERVICES_CONSENT_DOMAIN_QUESTION_H_
#define COUNTERSIGN_SERVICES_CONSENT_DOMAIN_QUESTION_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace countersign::consent {

// The numbers are those of countersign.common.v1 and are stored.
enum class UpdateKind { kSecurity = 1, kFunctionality = 2, kMixed = 3 };
enum class Criticality { kLow = 1, kMedium = 2, kHigh = 3, kCritical = 4 };

absl::string_view KindName(UpdateKind kind);                 // "SECURITY", ...
absl::string_view CriticalityName(Criticality criticality);  // "LOW", ...

// The numbers are stored.
enum class QuestionState {
  kWaiting = 1,    // the user is asked
  kDeferred = 2,   // the user will be asked again
  kGranted = 3,    // yes
  kDenied = 4,     // no
  kWithdrawn = 5,  // yes, and then taken back
  kExpired = 6,    // yes, and the time is over
  kClosed = 7,     // overtaken before it was answered
};
absl::string_view StateName(QuestionState state);  // "WAITING", ...

enum class QuestionEvent {
  kAskedAgain,    // the rollout asks what was closed
  kPolicyGrants,  // a standing policy covers it
  kUserGrants,    // the user's three answers
  kUserDenies,
  kUserDefers,
  kDeferralEnds,  // the time that the user chose has come
  kWithdrawn,     // by the user, or with the policy
  kValidityEnds,  // the time for which a grant was given is over
  kOvertaken,     // its rollout ended, another image is offered, or nobody answered
};

// The state after `event`. FAILED_PRECONDITION when the event is not possible: NOT_GRANTED for a withdrawal,
// PROMPT_EXPIRED for an answer to what is closed, PROMPT_ANSWERED for any other answer, else WRONG_STATE.
absl::StatusOr<QuestionState> Next(QuestionState state, QuestionEvent event);

// The text of a notice in one language, by its digest (trust::NoticeTextSha256).
struct NoticeDigest {
  std::string language;
  std::string text_sha256;
};

// What is asked. `gateway`, `assignment` and `image_sha256` together are its key: the same question asked
// twice is one question.
struct Question {
  std::string gateway;
  std::string assignment;
  std::string ecu_serial;
  std::string target_path;
  std::string image_sha256;
  std::string from_version;
  std::string to_version;
  UpdateKind kind = UpdateKind::kFunctionality;
  Criticality criticality = Criticality::kLow;
  std::string terms_sha256;  // empty when there are none
  std::vector<NoticeDigest> notices;
};

// A decision: what the record says last.
struct DecisionMade {
  QuestionState decision = QuestionState::kDenied;  // never kWaiting or kClosed
  std::string principal_id;
  std::string policy_id;  // empty when the user was asked
  std::string text_sha256;
  absl::Time decided_at;
  // Until when a grant holds, or to when the answer is put off; decided_at for the others.
  absl::Time valid_until;
  std::string signed_record;
};

// A question that was asked, with all that became of it.
struct AskedQuestion {
  Question question;
  std::string id;  // of question, prompt and record
  QuestionState state = QuestionState::kWaiting;
  std::string
      wire;  // the question as it was asked, for whoever shows it; empty when the user was never asked
  absl::Time created_at;
  std::optional<absl::Time> asked_at;         // absent when a policy decided at once
  std::optional<absl::Time> latest_deferral;  // absent when it cannot be put off
  std::optional<absl::Time> due_at;           // when it changes by itself
  std::optional<absl::Time> recorded_at;      // first decision
  std::optional<DecisionMade> decision;       // latest
};

// How long an answer can be put off, from the first time that the question is asked: postponement is bounded,
// and short where the danger is great (EU Cyber Resilience Act, annex I).
struct DeferralLimits {
  absl::Duration low = absl::Hours(30 * 24);
  absl::Duration medium = absl::Hours(14 * 24);
  absl::Duration high = absl::Hours(72);
  absl::Duration critical = absl::Hours(4);

  absl::Duration For(Criticality criticality) const;
};

}  // namespace countersign::consent

#endif  // COUNTERSIGN_SERVICES_CONSENT_DOMAIN_QUESTION_H_
