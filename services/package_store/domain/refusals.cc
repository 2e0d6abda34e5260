#include "services/package_store/domain/refusals.h"

#include <optional>
#include <string>

#include "common/status/errors.h"
#include "common/trust/reasons.h"

namespace countersign::package_store {
namespace {

struct Translation {
  const char* from;
  absl::StatusCode code;
  const char* to;
};

constexpr Translation kTranslations[] = {
    {trust::kMalformed, absl::StatusCode::kInvalidArgument, "METADATA_MALFORMED"},
    {trust::kUnsupportedSpec, absl::StatusCode::kInvalidArgument, "METADATA_MALFORMED"},
    {trust::kKeyIdMismatch, absl::StatusCode::kInvalidArgument, "METADATA_MALFORMED"},
    {trust::kKeyInvalid, absl::StatusCode::kInvalidArgument, "METADATA_MALFORMED"},
    {trust::kReleaseCounterMissing, absl::StatusCode::kInvalidArgument, "METADATA_MALFORMED"},
    {trust::kHardwareIdsMissing, absl::StatusCode::kInvalidArgument, "METADATA_MALFORMED"},
    {trust::kDuplicateKey, absl::StatusCode::kInvalidArgument, trust::kDuplicateKey},
    {trust::kPartiesNotDistinct, absl::StatusCode::kInvalidArgument, trust::kPartiesNotDistinct},
    {trust::kPartiesNotDeclared, absl::StatusCode::kInvalidArgument, trust::kPartiesNotDeclared},
    {trust::kThresholdNotMet, absl::StatusCode::kInvalidArgument, trust::kThresholdNotMet},
    {trust::kSignatureInvalid, absl::StatusCode::kInvalidArgument, trust::kSignatureInvalid},
    {trust::kUnknownKey, absl::StatusCode::kInvalidArgument, trust::kUnknownKey},
    {trust::kExpired, absl::StatusCode::kInvalidArgument, trust::kExpired},
    {trust::kPathNotDelegated, absl::StatusCode::kInvalidArgument, "PATH_NOT_ALLOWED"},
    {trust::kUnknownRole, absl::StatusCode::kFailedPrecondition, "NOT_DELEGATED"},
    {trust::kRootSkipped, absl::StatusCode::kFailedPrecondition, "VERSION_NOT_NEXT"},
    {trust::kMetadataRollback, absl::StatusCode::kFailedPrecondition, "VERSION_NOT_NEXT"},
    {trust::kTargetChanged, absl::StatusCode::kFailedPrecondition, trust::kTargetChanged},
    {trust::kRollbackAttempt, absl::StatusCode::kFailedPrecondition, "RELEASE_COUNTER_FELL"},
};

}  // namespace

absl::Status AsStoreError(const absl::Status& status) {
  const std::string reason = ReasonOf(status);
  for (const Translation& translation : kTranslations) {
    if (reason == translation.from) return Error(translation.code, translation.to, status.message());
  }
  return status;
}

}  // namespace countersign::package_store
