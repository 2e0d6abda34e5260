// Which release is the update of a component.
#ifndef COUNTERSIGN_SERVICES_LIAISON_DOMAIN_MATCHING_H_
#define COUNTERSIGN_SERVICES_LIAISON_DOMAIN_MATCHING_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/version/version.h"

namespace countersign::liaison::domain {

// What matters of a release to find updates.
struct Offer {
  std::string release_id;
  std::string component;  // "acme/thermostat": releases of one component follow each other
  std::string version;
  VersionFormat version_format = VersionFormat::kPlain;
  int64_t release_counter = 0;
  std::vector<std::string> models;
  std::vector<std::string> hardware_ids;
  std::string minimum_installed_version;  // empty for any
};

// What a component is and runs.
struct Installed {
  std::string model;
  std::string hardware_id;
  std::string version;  // empty when it is not known
  int64_t release_counter = 0;
};

// Whether `offer` is an update of `installed`: for its model and hardware, with a release counter above that
// of the installed image, and from a version that it can be installed over. A version that cannot be read in
// the offer's format is no obstacle where no minimum is asked for.
bool Fits(const Offer& offer, const Installed& installed);

// Of the offers that fit, the index of the newest by release counter; nullopt if none does. What needs more
// than is installed is left out, so that the way leads over the release in between.
std::optional<size_t> FindUpdate(const std::vector<const Offer*>& offers, const Installed& installed);

// FAILED_PRECONDITION (RELEASE_COUNTER_FELL) if a release of the same component for some of the same
// hardware, other than itself, has a counter that is not below `next`'s.
absl::Status CheckCounterRises(const std::vector<Offer>& known, const Offer& next);

}  // namespace countersign::liaison::domain

#endif  // COUNTERSIGN_SERVICES_LIAISON_DOMAIN_MATCHING_H_
