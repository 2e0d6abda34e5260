#include "services/rollout/clients/image_repository.h"

#include "absl/strings/str_cat.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/trust/reasons.h"

namespace countersign::rollout {
namespace {

// A target that nobody vouches for is an answer; everything else says that there is none.
absl::Status Unverified(const absl::Status& status) {
  if (ReasonOf(status) == trust::kTargetUnknown) return status;
  return Error(absl::StatusCode::kUnavailable, "IMAGE_REPOSITORY_UNVERIFIED",
               absl::StrCat("The image repository's metadata cannot be verified now, so nothing is signed: ",
                            status.message()),
               {{"cause", ReasonOf(status)}});
}

}  // namespace

absl::Status ImageRepository::Refresh(absl::Time now) {
  refreshed_ = absl::InfinitePast();
  if (const absl::Status status = client_.Refresh(now); !status.ok()) return Unverified(status);
  refreshed_ = now;
  return absl::OkStatus();
}

absl::StatusOr<trust::TargetFile> ImageRepository::Find(absl::string_view path) {
  absl::MutexLock lock(&mutex_);
  const absl::Time now = clock_.Now();
  const bool kept = refreshed_ <= now && now - refreshed_ < max_age_;
  if (!kept) RETURN_IF_ERROR(Refresh(now));
  absl::StatusOr<trust::TargetFile> found = client_.FindTarget(path, now);
  if (!found.ok() && kept) {
    // Perhaps it was approved a moment ago.
    RETURN_IF_ERROR(Refresh(now));
    found = client_.FindTarget(path, now);
  }
  if (!found.ok()) return Unverified(found.status());
  return found;
}

}  // namespace countersign::rollout
