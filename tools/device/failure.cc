#include "tools/device/failure.h"

#include <map>
#include <string>

#include "common/crypto/public_key.h"
#include "common/status/errors.h"
#include "common/trust/preconditions.h"
#include "common/trust/reasons.h"

namespace countersign::device {

using namespace common::v1;

FailureReason FailureReasonOf(const absl::Status& status) {
  static const auto& reasons = *new std::map<std::string, FailureReason>({
      {crypto::kSignatureInvalid, FAILURE_REASON_SIGNATURE_INVALID},
      {trust::kThresholdNotMet, FAILURE_REASON_SIGNATURE_INVALID},
      {trust::kUnknownKey, FAILURE_REASON_SIGNATURE_INVALID},
      {trust::kDuplicateKey, FAILURE_REASON_SIGNATURE_INVALID},
      {trust::kKeyIdMismatch, FAILURE_REASON_SIGNATURE_INVALID},
      {trust::kExpired, FAILURE_REASON_SIGNATURE_INVALID},
      {trust::kRootSkipped, FAILURE_REASON_SIGNATURE_INVALID},
      {trust::kMetadataRollback, FAILURE_REASON_ROLLBACK_ATTEMPT},
      {trust::kRollbackAttempt, FAILURE_REASON_ROLLBACK_ATTEMPT},
      {trust::kLengthExceeded, FAILURE_REASON_INTEGRITY},
      {trust::kLengthMismatch, FAILURE_REASON_INTEGRITY},
      {trust::kDigestMismatch, FAILURE_REASON_INTEGRITY},
      {trust::kVersionMismatch, FAILURE_REASON_INTEGRITY},
      {trust::kTargetUnknown, FAILURE_REASON_NOT_APPROVED},
      {trust::kRoleNotPublished, FAILURE_REASON_NOT_APPROVED},
      {trust::kNotApproved, FAILURE_REASON_NOT_APPROVED},
      {trust::kTargetMismatch, FAILURE_REASON_TARGET_MISMATCH},
      {trust::kHardwareMismatch, FAILURE_REASON_TARGET_MISMATCH},
      {trust::kUnknownEcu, FAILURE_REASON_TARGET_MISMATCH},
      {trust::kDuplicateEcu, FAILURE_REASON_TARGET_MISMATCH},
      {trust::kPreconditionNotMet, FAILURE_REASON_PRECONDITION_NOT_MET},
      {"NO_FLASH", FAILURE_REASON_NO_FLASH},
      {"PROVISIONAL", FAILURE_REASON_CONFLICT},
      {"NOT_CONFIRMED", FAILURE_REASON_NOT_APPROVED},
  });
  if (status.ok()) return FAILURE_REASON_UNSPECIFIED;
  if (const auto found = reasons.find(ReasonOf(status)); found != reasons.end()) return found->second;
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return FAILURE_REASON_CONNECTION_LOST;
    case absl::StatusCode::kInvalidArgument:
      return FAILURE_REASON_UNSUPPORTED_PACKAGE;
    default:
      return FAILURE_REASON_UPDATE_FAILED;
  }
}

}  // namespace countersign::device
