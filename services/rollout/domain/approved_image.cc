#include "services/rollout/domain/approved_image.h"

#include "absl/strings/str_cat.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/tlog/entry.h"
#include "common/tlog/note.h"
#include "common/tlog/proof.h"

namespace countersign::rollout {
namespace {

absl::Status Verify(absl::string_view path, const ApprovedImage& image) {
  ASSIGN_OR_RETURN(const tlog::VerifierKey key, tlog::VerifierKey::Parse(image.log_key));
  ASSIGN_OR_RETURN(const tlog::OfflineProof proof, tlog::OfflineProof::Parse(image.log_proof));
  RETURN_IF_ERROR(
      tlog::CheckApprovalLeaf(proof.extra, path, image.target.sha256, image.role_version).status());
  return proof.Verify(proof.extra, key).status();
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
