#include "common/trust/preconditions.h"

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status/errors.h"
#include "nlohmann/json.hpp"

namespace countersign::trust {
namespace {

using nlohmann::json;

std::optional<int> Percent(const json& value) {
  if (!value.is_number_integer()) return std::nullopt;
  const int64_t percent = value.get<int64_t>();
  if (percent < 0 || percent > 100) return std::nullopt;
  return static_cast<int>(percent);
}

}  // namespace

Preconditions ReadPreconditions(absl::string_view object) {
  Preconditions required;
  const json custom = json::parse(object.begin(), object.end(), nullptr, /*allow_exceptions=*/false);
  const auto found = custom.is_object() ? custom.find("preconditions") : custom.end();
  if (found == custom.end()) return required;
  if (!found->is_object()) return {.unknown = true};
  for (const auto& [name, value] : found->items()) {
    if (name == "parked" && value.is_boolean()) {
      required.parked = value.get<bool>();
    } else if (name == "externalPower" && value.is_boolean()) {
      required.external_power = value.get<bool>();
    } else if (name == "minBatteryPercent" && Percent(value).has_value()) {
      required.min_battery_percent = *Percent(value);
    } else if (name == "recoveryBatteryPercent" && Percent(value).has_value()) {
      required.recovery_battery_percent = *Percent(value);
    } else {
      required.unknown = true;
    }
  }
  return required;
}

Readings ReadReadings(absl::string_view object) {
  Readings readings;
  const json values = json::parse(object.begin(), object.end(), nullptr, /*allow_exceptions=*/false);
  if (!values.is_object()) return readings;
  const auto flag = [&values](const char* name) -> std::optional<bool> {
    const auto found = values.find(name);
    if (found == values.end() || !found->is_boolean()) return std::nullopt;
    return found->get<bool>();
  };
  readings.parked = flag("parked");
  readings.external_power = flag("externalPower");
  if (const auto found = values.find("batteryPercent"); found != values.end()) {
    readings.battery_percent = Percent(*found);
  }
  return readings;
}

absl::Status CheckPreconditions(const Preconditions& required, const Readings& readings) {
  std::vector<std::string> missing;
  if (required.unknown) missing.push_back("the image asks for something that this version does not know");
  if (required.parked && readings.parked != true) {
    missing.push_back(readings.parked.has_value() ? "it is not parked" : "nobody knows whether it is parked");
  }
  if (required.external_power && readings.external_power != true) {
    missing.push_back(readings.external_power.has_value() ? "it is not connected to power"
                                                          : "nobody knows whether it is connected to power");
  }
  if (const int percent = required.min_battery_percent + required.recovery_battery_percent; percent > 0) {
    const std::string needed =
        absl::StrCat(percent, " are needed: ", required.min_battery_percent, " for the update and ",
                     required.recovery_battery_percent, " for a way back");
    if (!readings.battery_percent.has_value()) {
      missing.push_back(absl::StrCat("nobody knows how full the battery is; percent, ", needed));
    } else if (*readings.battery_percent < percent) {
      missing.push_back(absl::StrCat("the battery has ", *readings.battery_percent, " percent; ", needed));
    }
  }
  if (missing.empty()) return absl::OkStatus();
  return Error(absl::StatusCode::kFailedPrecondition, kPreconditionNotMet, absl::StrJoin(missing, "; "));
}

}  // namespace countersign::trust
