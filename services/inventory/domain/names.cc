#include "services/inventory/domain/names.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/status/errors.h"

namespace countersign::inventory::domain {
namespace {

absl::Status NameInvalid(absl::string_view name, absl::string_view form) {
  return Error(absl::StatusCode::kInvalidArgument, "NAME_INVALID",
               absl::StrCat("\"", name.substr(0, 200), "\" is not a name of the form ", form, "."));
}

}  // namespace

std::string GatewayName(absl::string_view gateway_id) { return absl::StrCat("gateways/", gateway_id); }

std::string FormatDeviceName(absl::string_view gateway_id, absl::string_view device_id) {
  return absl::StrCat("gateways/", gateway_id, "/devices/", device_id);
}

std::string ComponentName(absl::string_view gateway_id, absl::string_view ecu_serial) {
  return absl::StrCat("gateways/", gateway_id, "/components/", ecu_serial);
}

absl::StatusOr<std::string> ParseGatewayName(absl::string_view name) {
  const std::vector<std::string> parts = absl::StrSplit(name, '/');
  if (parts.size() != 2 || parts[0] != "gateways" || !IsPartyId(parts[1])) {
    return NameInvalid(name, "gateways/{gateway}");
  }
  return parts[1];
}

absl::StatusOr<DeviceName> ParseDeviceName(absl::string_view name) {
  const std::vector<std::string> parts = absl::StrSplit(name, '/');
  if (parts.size() != 4 || parts[0] != "gateways" || parts[2] != "devices" || !IsPartyId(parts[1]) ||
      !IsSerial(parts[3])) {
    return NameInvalid(name, "gateways/{gateway}/devices/{device}");
  }
  return DeviceName{parts[1], parts[3]};
}

absl::StatusOr<ComponentId> ParseComponentName(absl::string_view name) {
  const std::vector<std::string> parts = absl::StrSplit(name, '/');
  if (parts.size() != 4 || parts[0] != "gateways" || parts[2] != "components" || !IsPartyId(parts[1]) ||
      !IsSerial(parts[3])) {
    return NameInvalid(name, "gateways/{gateway}/components/{ecu_serial}");
  }
  return ComponentId{parts[1], parts[3]};
}

absl::StatusOr<std::string> ParseDeviceParent(absl::string_view parent) {
  if (parent == "gateways/-") return std::string();
  absl::StatusOr<std::string> gateway_id = ParseGatewayName(parent);
  if (!gateway_id.ok()) return NameInvalid(parent, "gateways/{gateway} or gateways/-");
  return gateway_id;
}

bool IsPartyId(absl::string_view id) {
  if (id.empty() || id.size() > 63 || id.find("..") != absl::string_view::npos) return false;
  const auto alphanumeric = [](char c) { return absl::ascii_islower(c) || absl::ascii_isdigit(c); };
  return alphanumeric(id.front()) && alphanumeric(id.back()) &&
         std::all_of(id.begin(), id.end(), [&](char c) { return alphanumeric(c) || c == '.' || c == '-'; });
}

bool IsSerial(absl::string_view text) {
  return !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '-';
  });
}

}  // namespace countersign::inventory::domain
