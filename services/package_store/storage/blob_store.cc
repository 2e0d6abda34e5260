#include "services/package_store/storage/blob_store.h"

#include "absl/strings/str_cat.h"
#include "common/status/errors.h"

namespace countersign::package_store {

absl::Status UploadBusy() {
  return Error(
      absl::StatusCode::kAborted, "UPLOAD_BUSY",
      "Another stream is writing this upload; ask where it stands and go on from there in a moment.");
}

absl::Status UploadTakenOver() {
  return Error(absl::StatusCode::kAborted, "UPLOAD_TAKEN_OVER",
               "Another stream has gone on with this upload; ask where it stands.");
}

absl::Status DigestMismatch(int64_t size, absl::string_view found, absl::string_view announced) {
  return Error(absl::StatusCode::kInvalidArgument, "DIGEST_MISMATCH",
               absl::StrCat("The ", size, " bytes have SHA-256 ", found, ", not the announced ", announced,
                            "; the upload begins anew."),
               {{"sha256", std::string(found)}});
}

}  // namespace countersign::package_store
