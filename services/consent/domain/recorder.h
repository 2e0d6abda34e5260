// The consent service's signature under a decision (PLUS-2).
#ifndef COUNTERSIGN_SERVICES_CONSENT_DOMAIN_RECORDER_H_
#define COUNTERSIGN_SERVICES_CONSENT_DOMAIN_RECORDER_H_

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/crypto/signer.h"
#include "services/consent/domain/question.h"

namespace countersign::consent {

// Thread-safe.
class Recorder {
 public:
  explicit Recorder(std::shared_ptr<const crypto::Signer> signer) : signer_(std::move(signer)) {}

  // Fills `decision.signed_record`: what was decided of `question` under record id `id`, as canonical JSON
  // with the signature (trust::ConsentRecord, scope ONE_UPDATE). Times are of whole seconds in it. Errors as
  // crypto::Signer.
  absl::Status Sign(absl::string_view id, const Question& question, DecisionMade& decision) const;

 private:
  const std::shared_ptr<const crypto::Signer> signer_;
};

}  // namespace countersign::consent

#endif  // COUNTERSIGN_SERVICES_CONSENT_DOMAIN_RECORDER_H_
