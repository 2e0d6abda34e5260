#include "services/rollout/clients/image_repository.h"

#include "absl/strings/str_cat.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/trust/reasons.h"

namespace countersign::rollout {
namespace {

constexpr size_t kMaxProven = 1000;

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
  in_force_.clear();
  if (const absl::Status status = client_.Refresh(now); !status.ok()) return Unverified(status);
  refreshed_ = now;
  return absl::OkStatus();
}

absl::StatusOr<ApprovedImage> ImageRepository::FindTarget(absl::string_view path, absl::Time now) {
  absl::MutexLock lock(&mutex_);
  const bool kept = refreshed_ <= now && now - refreshed_ < max_age_;
  if (!kept) RETURN_IF_ERROR(Refresh(now));
  absl::StatusOr<trust::TargetFile> found = client_.FindTarget(path, now);
  if (!found.ok() && kept) {
    // Perhaps it was approved a moment ago.
    RETURN_IF_ERROR(Refresh(now));
    found = client_.FindTarget(path, now);
  }
  if (!found.ok()) return Unverified(found.status());
  ApprovedImage image;
  image.target = *std::move(found);
  image.log_key = client_.root().log_key;
  const auto proven = proven_.find(std::string(path));
  if (proven != proven_.end() && proven->second.target == image.target &&
      proven->second.log_key == image.log_key) {
    return proven->second;
  }
  return image;
}

absl::StatusOr<ApprovedImage> ImageRepository::Find(absl::string_view path) {
  ASSIGN_OR_RETURN(ApprovedImage image, FindTarget(path, clock_.Now()));
  const std::string key(path);
  {
    absl::MutexLock lock(&mutex_);
    if (!image.log_proof.empty() && in_force_.contains(key)) return image;
  }
  // Not under the lock: others need not wait for the store's answer.
  absl::StatusOr<LoggedPackage> logged = get_logged_(key);
  // Metadata goes on naming what was revoked until its parties sign a version without it.
  if (ReasonOf(logged.status()) == "PACKAGE_REVOKED" || ReasonOf(logged.status()) == "PACKAGE_WITHDRAWN") {
    return logged.status();
  }
  if (!logged.ok() && !absl::IsNotFound(logged.status())) return Unverified(logged.status());
  if (logged.ok()) {
    image.role_version = logged->role_version;
    image.log_proof = std::move(logged->log_proof);
  }
  if (CheckInLog(path, image).ok()) {
    absl::MutexLock lock(&mutex_);
    if (proven_.size() >= kMaxProven) proven_.clear();
    proven_.insert_or_assign(key, image);
    in_force_.insert(key);
  }
  return image;
}

}  // namespace countersign::rollout
