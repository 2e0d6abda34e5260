#ifndef COUNTERSIGN_SERVICES_ROLLOUT_DOMAIN_APPROVED_IMAGE_H_
#define COUNTERSIGN_SERVICES_ROLLOUT_DOMAIN_APPROVED_IMAGE_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/trust/metadata.h"

namespace countersign::rollout {

// An image that the image repository vouches for.
struct ApprovedImage {
  trust::TargetFile target;  // verified by a client of the repository
  std::string log_key;       // of the transparency log: what the repository's verified root says
  // What the store said beside that, believed only if it proves something.
  int64_t role_version = 0;
  std::string log_proof;  // tlog-proof@v1
};

inline constexpr char kNotInLog[] = "NOT_IN_LOG";

// OK if the transparency log has the approval of the image at `path`: its path, digest and role version,
// under a head that the log's key signed (PLUS-3). FAILED_PRECONDITION (NOT_IN_LOG).
absl::Status CheckInLog(absl::string_view path, const ApprovedImage& image);

}  // namespace countersign::rollout

#endif  // COUNTERSIGN_SERVICES_ROLLOUT_DOMAIN_APPROVED_IMAGE_H_
