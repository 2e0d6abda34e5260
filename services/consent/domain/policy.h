// Standing policies: what a user has agreed to in advance.
#ifndef COUNTERSIGN_SERVICES_CONSENT_DOMAIN_POLICY_H_
#define COUNTERSIGN_SERVICES_CONSENT_DOMAIN_POLICY_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "absl/types/span.h"
#include "services/consent/domain/question.h"

namespace countersign::consent {

struct Policy {
  std::string gateway;
  std::string id;
  std::string principal_id;
  std::vector<UpdateKind> kinds;                   // at least one
  std::optional<Criticality> minimum_criticality;  // absent: any
  std::vector<std::string> ecu_serials;            // empty: all of the gateway's
  std::vector<std::string> accepted_terms_sha256;
  std::string language;
  std::string text_sha256;  // of the text that the user agreed to
  bool active = true;
  absl::Time created_at;
};

// Whether `policy` is a yes to `question`: it is active and of the same gateway, names the update's kind
// (MIXED only by that name: who allows security updates has not allowed what comes with them), its least
// criticality and its components, and has accepted the terms if there are any. Anything else wants the user.
bool Grants(const Policy& policy, const Question& question);

// The oldest of `policies` that grants, nullptr when the user must be asked.
const Policy* FindGranting(absl::Span<const Policy> policies, const Question& question);

}  // namespace countersign::consent

#endif  // COUNTERSIGN_SERVICES_CONSENT_DOMAIN_POLICY_H_
