#include "common/trust/reasons.h"

#include <string>

#include "common/status/errors.h"

namespace countersign::trust {
namespace {

absl::StatusCode CodeOf(absl::string_view reason) {
  for (const char* const wrong :
       {kMalformed, kLengthMismatch, kDigestMismatch, kUnsupportedSpec, kThresholdNotMet, kKeyIdMismatch,
        kDuplicateKey, kUnknownKey, kKeyInvalid, kSignatureInvalid, kPartiesNotDistinct, kPartiesNotDeclared, kPathNotDelegated,
        kReleaseCounterMissing, kHardwareIdsMissing}) {
    if (reason == wrong) return absl::StatusCode::kInvalidArgument;
  }
  for (const char* const unknown : {kTargetUnknown, kUnknownRole, kRoleNotPublished}) {
    if (reason == unknown) return absl::StatusCode::kNotFound;
  }
  for (const char* const limit : {kLengthExceeded, kLimitExceeded}) {
    if (reason == limit) return absl::StatusCode::kResourceExhausted;
  }
  return absl::StatusCode::kFailedPrecondition;
}

}  // namespace

absl::Status Refuse(absl::string_view reason, absl::string_view message) {
  return Error(CodeOf(reason), reason, message);
}

}  // namespace countersign::trust
