#include "tools/device/provision.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/clock/clock.h"
#include "common/file/file.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/trust/secure_time.h"
#include "countersign/inventory/v1/inventory.pb.h"
#include "google/protobuf/util/json_util.h"
#include "tools/device/component.h"

namespace countersign::device {
namespace {

// Serials are names of folders too.
bool IsSerial(absl::string_view serial) {
  return !serial.empty() && serial.size() <= 64 && serial[0] != '.' &&
         std::all_of(serial.begin(), serial.end(),
                     [](char c) { return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '-'; });
}

absl::Status CheckComponents(const Provisioning& provisioning) {
  std::map<std::string, std::string> keys = provisioning.keys;
  for (const auto& [ecu_serial, hardware_id] : provisioning.components) {
    if (!IsSerial(ecu_serial) || hardware_id.empty()) {
      return Error(absl::StatusCode::kInvalidArgument, "COMPONENT_INVALID",
                   absl::StrCat("'", ecu_serial, ":", hardware_id,
                                "' is no component: give ecu_serial:hardware_id, the serial of 1 to 64 "
                                "characters of [A-Za-z0-9._-]"));
    }
    keys.erase(ecu_serial);
  }
  if (!keys.empty()) {
    return Error(absl::StatusCode::kInvalidArgument, "KEY_WITHOUT_COMPONENT",
                 absl::StrCat("there is a key for ", keys.begin()->first, ", which is no component"));
  }
  if (!provisioning.keys.empty() && provisioning.constrained) {
    return Error(absl::StatusCode::kInvalidArgument, "KEY_WITHOUT_COMPONENT",
                 "a constrained device has no keys");
  }
  return absl::OkStatus();
}

}  // namespace

std::string ComponentFolder(absl::string_view folder, absl::string_view ecu_serial) {
  return absl::StrCat(folder, "/components/", ecu_serial);
}

std::string TimeFile(absl::string_view folder) { return absl::StrCat(folder, "/time"); }

absl::Status Provision(const Provisioning& provisioning) {
  RETURN_IF_ERROR(CheckComponents(provisioning));
  RETURN_IF_ERROR(MakeDirectories(absl::StrCat(provisioning.folder, "/components")));
  inventory::v1::Device device;
  device.set_name(absl::StrCat("gateways/-/devices/", provisioning.device_id));
  device.set_manufacturer(provisioning.manufacturer);
  device.set_model(provisioning.model);
  device.set_hardware_version(provisioning.hardware_version);
  device.set_app_id(provisioning.app_id);
  for (const auto& [ecu_serial, hardware_id] : provisioning.components) {
    inventory::v1::Component& component = *device.add_components();
    component.set_ecu_serial(ecu_serial);
    component.set_hardware_id(hardware_id);
    component.set_constrained(provisioning.constrained);
    const auto key = provisioning.keys.find(ecu_serial);
    ASSIGN_OR_RETURN(*component.mutable_public_key_pem(),
                     Component::Provision(ComponentFolder(provisioning.folder, ecu_serial),
                                          {.ecu_serial = ecu_serial,
                                           .hardware_id = hardware_id,
                                           .constrained = provisioning.constrained,
                                           .key = key == provisioning.keys.end() ? "" : key->second},
                                          provisioning.key_type, provisioning.factory_image,
                                          provisioning.factory_version));
  }
  if (provisioning.now != absl::InfinitePast()) {
    ASSIGN_OR_RETURN(trust::SecureTime time,
                     trust::SecureTime::Open(TimeFile(provisioning.folder), SystemClock()));
    RETURN_IF_ERROR(time.Raise(provisioning.now));
  }
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  options.preserve_proto_field_names = true;
  std::string json;
  if (!google::protobuf::util::MessageToJsonString(device, &json, options).ok()) {
    return Error(absl::StatusCode::kInvalidArgument, "TEXT_INVALID", "a name is not UTF-8");
  }
  return WriteFileAtomically(absl::StrCat(provisioning.folder, "/device.json"), json);
}

}  // namespace countersign::device
