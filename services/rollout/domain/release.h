#ifndef COUNTERSIGN_SERVICES_ROLLOUT_DOMAIN_RELEASE_H_
#define COUNTERSIGN_SERVICES_ROLLOUT_DOMAIN_RELEASE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/version/version.h"

namespace countersign::rollout {

struct Image {
  std::string target_path;
  int64_t length = 0;
  std::string sha256;  // lower-case hex

  friend bool operator==(const Image&, const Image&) = default;
};

// A release as liaison told it when the rollout was made. The rollout goes on with exactly this, whatever the
// manufacturer says later.
struct Release {
  std::string name;  // manufacturers/{manufacturer}/releases/{release}
  std::string manufacturer;
  Image image;
  std::string version;
  VersionFormat version_format = VersionFormat::kPlain;
  int64_t release_counter = 0;
  std::vector<std::string> models;
  std::vector<std::string> hardware_ids;
  std::string minimum_installed_version;  // empty: from any
  std::string kind;                       // SECURITY, FUNCTIONALITY, MIXED
  std::string info;  // the manufacturer's statement, serialised: what the user is asked about, opaque here

  // From the package store, when the rollout was launched.
  std::vector<std::string> manufacturer_key_ids;
  std::string approved_by;
};

// A package as the image repository published it, with both signatures.
struct Package {
  std::string manufacturer;
  Image image;
  std::vector<std::string> hardware_ids;
  int64_t release_counter = 0;
  std::vector<std::string> manufacturer_key_ids;
  std::string approved_by;
};

// OK if `package` is what `release` promises: same manufacturer, path, length, digest and counter, and
// approved for all of the release's hardware. FAILED_PRECONDITION (NOT_APPROVED) that says what differs.
absl::Status CheckApproved(const Release& release, const Package& package);

// The same error for a release that has no published package.
absl::Status NotApproved(const Release& release, absl::string_view why);

}  // namespace countersign::rollout

#endif  // COUNTERSIGN_SERVICES_ROLLOUT_DOMAIN_RELEASE_H_
