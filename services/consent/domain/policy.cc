#include "services/consent/domain/policy.h"

#include <algorithm>

namespace countersign::consent {
namespace {

template <typename T>
bool Contains(const std::vector<T>& values, const T& value) {
  return std::find(values.begin(), values.end(), value) != values.end();
}

}  // namespace

bool Grants(const Policy& policy, const Question& question) {
  return policy.active && policy.gateway == question.gateway && Contains(policy.kinds, question.kind) &&
         (!policy.minimum_criticality || question.criticality >= *policy.minimum_criticality) &&
         (policy.ecu_serials.empty() || Contains(policy.ecu_serials, question.ecu_serial)) &&
         (question.terms_sha256.empty() || Contains(policy.accepted_terms_sha256, question.terms_sha256));
}

const Policy* FindGranting(absl::Span<const Policy> policies, const Question& question) {
  const Policy* found = nullptr;
  for (const Policy& policy : policies) {
    if (Grants(policy, question) && (found == nullptr || policy.created_at < found->created_at))
      found = &policy;
  }
  return found;
}

}  // namespace countersign::consent
