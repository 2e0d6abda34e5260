// What goes into an offline package, and whether what is in one holds (SC-ALT).
#ifndef COUNTERSIGN_COMMON_OFFLINE_COLLECT_H_
#define COUNTERSIGN_COMMON_OFFLINE_COLLECT_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/offline/package.h"
#include "common/trust/client.h"
#include "common/trust/update.h"

namespace countersign::offline {

struct CollectOptions {
  std::string gateway_id;
  std::string director_root;  // the roots that the gateway came with
  std::string image_root;
  // Whose images are packed, of those that the Director orders; empty for all of them.
  std::vector<std::string> target_paths;
  // Instead of what the Director orders: paths below pending/, and the components that each is for.
  std::map<std::string, std::vector<std::string>> pending;
};

// The files of both repositories, verified, that a gateway needs which has nothing but its roots, and the
// targets whose images are packed; statements and proofs are for the caller to add. FAILED_PRECONDITION
// (NOTHING_ORDERED) if the Director does not order what is to be packed; refusals of common/trust; the
// fetchers' errors.
absl::StatusOr<Contents> Collect(const CollectOptions& options, trust::Fetcher& director,
                                 trust::Fetcher& images, absl::Time now);

// Whether a gateway that has nothing but these roots would install what is in `package`: signatures, expiry,
// agreement, the images' bytes, and the log's proofs. What it would install, and on what; what the gateway
// itself knows (its components, what it has seen before) is not looked at. Refusals of common/trust;
// FAILED_PRECONDITION (NOT_IN_LOG).
struct PackageVerdict {
  std::vector<trust::VerifiedUpdate> updates;
  bool pending = false;    // only the manufacturer vouches for them
  absl::Time valid_until;  // when the first of its metadata expires
};
absl::StatusOr<PackageVerdict> VerifyPackage(const Package& package, const std::string& director_root,
                                             const std::string& image_root, absl::Time now);

}  // namespace countersign::offline

#endif  // COUNTERSIGN_COMMON_OFFLINE_COLLECT_H_
