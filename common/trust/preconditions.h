#ifndef COUNTERSIGN_COMMON_TRUST_PRECONDITIONS_H_
#define COUNTERSIGN_COMMON_TRUST_PRECONDITIONS_H_

#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

// What must hold before an image is installed or booted: the target's "preconditions" in the image
// repository, and so under the manufacturer's and the authority's signatures.

namespace countersign::trust {

// The reason of CheckPreconditions.
inline constexpr char kPreconditionNotMet[] = "PRECONDITION_NOT_MET";

// {"parked": true, "externalPower": true, "minBatteryPercent": 30, "recoveryBatteryPercent": 20}
struct Preconditions {
  bool parked = false;
  bool external_power = false;
  int min_battery_percent = 0;
  int recovery_battery_percent = 0;  // on top of it: what a way back takes
  // Something that cannot be read, or that this version does not know and so cannot check: never met.
  bool unknown = false;

  bool any() const { return *this != Preconditions(); }
  friend bool operator==(const Preconditions&, const Preconditions&) = default;
};

// What is known of the surroundings. What is absent is not known.
struct Readings {
  std::optional<bool> parked;
  std::optional<bool> external_power;
  std::optional<int> battery_percent;
};

// Reads "preconditions" out of `object`, the JSON object of a target's custom (TargetCustom::extra). Does not
// fail: one image that asks for what nobody understands must not take the others with it.
Preconditions ReadPreconditions(absl::string_view object);

// Reads {"parked": bool, "externalPower": bool, "batteryPercent": 0 to 100}, each of which may be missing. A
// value that is none of these is not known.
Readings ReadReadings(absl::string_view object);

// OK if everything that `required` names is known to hold: the battery must have what update and way back
// take together. FAILED_PRECONDITION (PRECONDITION_NOT_MET) with what is missing.
absl::Status CheckPreconditions(const Preconditions& required, const Readings& readings);

}  // namespace countersign::trust

#endif  // COUNTERSIGN_COMMON_TRUST_PRECONDITIONS_H_
