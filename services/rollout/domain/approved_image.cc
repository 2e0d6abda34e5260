#include "services/rollout/domain/approved_image.h"

#include "absl/strings/str_cat.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/tlog/entry.h"

namespace countersign::rollout {
namespace {

absl::Status Verify(absl::string_view path, const ApprovedImage& image) {
  ASSIGN_OR_RETURN(const tlog::LogEntry entry,
                   tlog::VerifyApprovalProof(image.log_proof, image.log_key, path, image.target.sha256));
  if (entry.role_version == image.role_version) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("it was approved in version ", entry.role_version,
                                                 " of its role, and not in ", image.role_version));
}

}  // namespace

absl::Status CheckInLog(absl::string_view path, const ApprovedImage& image) {
  const absl::Status status = Verify(path, image);
  if (status.ok()) return status;
  return Error(absl::StatusCode::kFailedPrecondition, kNotInLog,
               absl::StrCat("It is not proven that the approval of ", path,
                            " is in the transparency log: ", status.message()),
               {{"cause", ReasonOf(status)}});
}

}  // namespace countersign::rollout
