// A user's answer to a question.
#ifndef COUNTERSIGN_SERVICES_CONSENT_DOMAIN_ANSWER_H_
#define COUNTERSIGN_SERVICES_CONSENT_DOMAIN_ANSWER_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/consent/domain/question.h"

namespace countersign::consent {

struct Answer {
  QuestionEvent event = QuestionEvent::kUserDenies;  // kUserGrants, kUserDenies or kUserDefers
  std::string principal_id;
  std::string language;
  std::string text_sha256;            // of the notice that was shown
  std::string accepted_terms_sha256;  // empty when none were accepted
  std::optional<absl::Time> deferred_until;
};

// What `answer` decides of `asked` at `now`: the decision, yet unsigned. A grant holds for `grant_validity`.
//   FAILED_PRECONDITION (PROMPT_ANSWERED, PROMPT_EXPIRED)
//   INVALID_ARGUMENT    TEXT_DIFFERS        what was shown is none of the question's notices
//                       TERMS_NOT_ACCEPTED  it grants, and there are terms that it does not accept
//                       DEFERRAL_TOO_LONG   beyond the question's latest time, or not in the future
absl::StatusOr<DecisionMade> Decide(const AskedQuestion& asked, const Answer& answer,
                                    absl::Duration grant_validity, absl::Time now);

}  // namespace countersign::consent

#endif  // COUNTERSIGN_SERVICES_CONSENT_DOMAIN_ANSWER_H_
