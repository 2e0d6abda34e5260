#include "services/rollout/domain/release.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/status/errors.h"

namespace countersign::rollout {

absl::Status NotApproved(const Release& release, absl::string_view why) {
  return Error(absl::StatusCode::kFailedPrecondition, "NOT_APPROVED",
               absl::StrCat(release.name, " cannot be rolled out: ", why,
                            ". The Management Authority has to approve exactly what the release promises."),
               {{"release", release.name}});
}

absl::Status CheckApproved(const Release& release, const Package& package) {
  if (package.manufacturer != release.manufacturer) {
    return NotApproved(release, "the package is another manufacturer's");
  }
  if (package.image.target_path != release.image.target_path) {
    return NotApproved(release, "the package has another target path");
  }
  if (package.image.length != release.image.length || package.image.sha256 != release.image.sha256) {
    return NotApproved(release, "the approved image has other bytes");
  }
  if (package.release_counter != release.release_counter) {
    return NotApproved(release, absl::StrCat("it was approved with release counter ", package.release_counter,
                                             " and promises ", release.release_counter));
  }
  for (const std::string& hardware : release.hardware_ids) {
    if (std::find(package.hardware_ids.begin(), package.hardware_ids.end(), hardware) ==
        package.hardware_ids.end()) {
      return NotApproved(release, absl::StrCat("it is not approved for hardware ", hardware));
    }
  }
  return absl::OkStatus();
}

}  // namespace countersign::rollout
