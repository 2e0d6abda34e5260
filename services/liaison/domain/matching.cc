#include "services/liaison/domain/matching.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/status/errors.h"

namespace countersign::liaison::domain {
namespace {

bool Contains(const std::vector<std::string>& values, const std::string& value) {
  return std::find(values.begin(), values.end(), value) != values.end();
}

bool MeetsMinimum(const Offer& offer, const Installed& installed) {
  if (offer.minimum_installed_version.empty()) return true;
  const absl::StatusOr<Version> minimum = ParseVersion(offer.version_format, offer.minimum_installed_version);
  const absl::StatusOr<Version> version = ParseVersion(offer.version_format, installed.version);
  return minimum.ok() && version.ok() && *version >= *minimum;
}

bool SharesHardware(const Offer& a, const Offer& b) {
  return std::any_of(a.hardware_ids.begin(), a.hardware_ids.end(),
                     [&b](const std::string& hardware) { return Contains(b.hardware_ids, hardware); });
}

}  // namespace

bool Fits(const Offer& offer, const Installed& installed) {
  return Contains(offer.models, installed.model) && Contains(offer.hardware_ids, installed.hardware_id) &&
         offer.release_counter > installed.release_counter && MeetsMinimum(offer, installed);
}

std::optional<size_t> FindUpdate(const std::vector<const Offer*>& offers, const Installed& installed) {
  std::optional<size_t> best;
  for (size_t i = 0; i < offers.size(); ++i) {
    if (!Fits(*offers[i], installed)) continue;
    if (!best.has_value() || offers[i]->release_counter > offers[*best]->release_counter) best = i;
  }
  return best;
}

absl::Status CheckCounterRises(const std::vector<Offer>& known, const Offer& next) {
  for (const Offer& offer : known) {
    if (offer.release_id == next.release_id || offer.component != next.component ||
        !SharesHardware(offer, next))
      continue;
    if (offer.release_counter >= next.release_counter) {
      return Error(absl::StatusCode::kFailedPrecondition, "RELEASE_COUNTER_FELL",
                   absl::StrCat("release_counter ", next.release_counter, " of ", next.release_id,
                                " must be above ", offer.release_counter, ", which release ",
                                offer.release_id, " of the same component has"));
    }
  }
  return absl::OkStatus();
}

}  // namespace countersign::liaison::domain
