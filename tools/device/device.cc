#include "tools/device/device.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/crypto/signer.h"
#include "common/file/file.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/trust/client.h"
#include "common/trust/metadata.h"
#include "common/trust/reasons.h"
#include "common/trust/trusted_store.h"
#include "common/trust/update.h"
#include "google/protobuf/util/json_util.h"

namespace countersign::device {
namespace {

std::string ComponentFolder(const std::string& folder, const std::string& ecu_serial) {
  return absl::StrCat(folder, "/components/", ecu_serial);
}

// The entry of the Director's targets file, unverified: for a component that cannot verify.
absl::StatusOr<trust::TargetFile> UnverifiedEntry(const MetadataFiles& director,
                                                  const std::string& target_path) {
  for (const auto& [name, content] : director) {
    if (!absl::EndsWith(name, ".targets.json")) continue;
    ASSIGN_OR_RETURN(const trust::Envelope envelope, trust::Envelope::Parse(content));
    ASSIGN_OR_RETURN(const trust::Targets targets, trust::Targets::Parse(envelope));
    if (const auto found = targets.targets.find(target_path); found != targets.targets.end())
      return found->second;
  }
  return Error(absl::StatusCode::kInvalidArgument, trust::kTargetUnknown,
               absl::StrCat("the Director's targets do not name ", target_path));
}

// Serials are names of folders too.
bool IsSerial(absl::string_view serial) {
  return !serial.empty() && serial.size() <= 64 && serial[0] != '.' &&
         std::all_of(serial.begin(), serial.end(),
                     [](char c) { return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '-'; });
}

}  // namespace

absl::Status Provision(const Provisioning& provisioning) {
  RETURN_IF_ERROR(MakeDirectories(absl::StrCat(provisioning.folder, "/components")));
  inventory::v1::Device device;
  device.set_name(absl::StrCat("gateways/-/devices/", provisioning.device_id));
  device.set_manufacturer(provisioning.manufacturer);
  device.set_model(provisioning.model);
  device.set_hardware_version(provisioning.hardware_version);
  device.set_app_id(provisioning.app_id);
  for (const auto& [ecu_serial, hardware_id] : provisioning.components) {
    if (!IsSerial(ecu_serial) || hardware_id.empty()) {
      return Error(absl::StatusCode::kInvalidArgument, "COMPONENT_INVALID",
                   absl::StrCat("'", ecu_serial, ":", hardware_id,
                                "' is no component: give ecu_serial:hardware_id, the serial of 1 to 64 "
                                "characters of [A-Za-z0-9._-]"));
    }
    inventory::v1::Component& component = *device.add_components();
    component.set_ecu_serial(ecu_serial);
    component.set_hardware_id(hardware_id);
    component.set_constrained(provisioning.constrained);
    std::optional<crypto::PemSigner> signer;
    if (!provisioning.constrained) {
      ASSIGN_OR_RETURN(signer, crypto::PemSigner::Generate(provisioning.key_type));
      component.set_public_key_pem(signer->public_key().Pem());
    }
    RETURN_IF_ERROR(Component::Provision(ComponentFolder(provisioning.folder, ecu_serial), ecu_serial,
                                         hardware_id, signer.has_value() ? &*signer : nullptr,
                                         provisioning.factory_image, provisioning.factory_version));
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

absl::StatusOr<std::unique_ptr<Device>> Device::Boot(Options options) {
  std::unique_ptr<Device> device(new Device(std::move(options)));
  const std::string& folder = device->options_.folder;
  ASSIGN_OR_RETURN(const std::string json, ReadFile(absl::StrCat(folder, "/device.json")));
  if (!google::protobuf::util::JsonStringToMessage(json, &device->description_).ok()) {
    return Error(absl::StatusCode::kDataLoss, "STATE_DAMAGED",
                 absl::StrCat(folder, "/device.json cannot be read"));
  }
  for (const inventory::v1::Component& component : device->description_.components()) {
    ASSIGN_OR_RETURN(
        std::unique_ptr<Component> booted,
        Component::Boot(ComponentFolder(folder, component.ecu_serial()), device->options_.healthy));
    device->components_.push_back(std::move(booted));
  }
  return device;
}

std::string Device::id() const { return description_.name().substr(description_.name().rfind('/') + 1); }

absl::StatusOr<Component*> Device::Find(absl::string_view ecu_serial) {
  for (const std::unique_ptr<Component>& component : components_) {
    if (component->ecu_serial() == ecu_serial) return component.get();
  }
  return Error(absl::StatusCode::kNotFound, trust::kUnknownEcu,
               absl::StrCat("this device has no component ", ecu_serial));
}

absl::StatusOr<SlotContent> Device::Verify(const Component& component, const SlotContent& offered,
                                           const MetadataFiles& director, const MetadataFiles& images,
                                           absl::Time now) {
  if (component.constrained()) {
    ASSIGN_OR_RETURN(const trust::TargetFile entry, UnverifiedEntry(director, offered.target_path));
    SlotContent content = offered;
    content.version = entry.custom.version;
    content.release_counter = entry.custom.release_counter.value_or(0);
    return content;
  }
  ASSIGN_OR_RETURN(trust::DirectoryStore director_store,
                   trust::DirectoryStore::Open(absl::StrCat(options_.folder, "/trusted/director")));
  ASSIGN_OR_RETURN(trust::DirectoryStore image_store,
                   trust::DirectoryStore::Open(absl::StrCat(options_.folder, "/trusted/images")));
  trust::MapFetcher director_files(&director);
  trust::MapFetcher image_files(&images);
  trust::RepositoryClient director_client(&director_files, &director_store, options_.director_root);
  trust::RepositoryClient image_client(&image_files, &image_store, options_.image_root);
  const trust::InstalledComponent installed = {.ecu_serial = component.ecu_serial(),
                                               .hardware_id = component.hardware_id(),
                                               .release_counter = component.running().release_counter};
  ASSIGN_OR_RETURN(const std::optional<trust::VerifiedUpdate> update,
                   trust::VerifyUpdateFor(director_client, image_client, installed, now));
  if (!update.has_value()) {
    return Error(absl::StatusCode::kFailedPrecondition, trust::kUnknownEcu,
                 absl::StrCat("the Director has nothing for ", component.ecu_serial()));
  }
  if (update->path != offered.target_path || update->length != offered.length ||
      update->sha256 != offered.sha256) {
    return Error(absl::StatusCode::kFailedPrecondition, trust::kTargetMismatch,
                 absl::StrCat("what is offered as ", offered.target_path,
                              " is not what the Director has for ", component.ecu_serial()));
  }
  return SlotContent{.target_path = update->path,
                     .length = update->length,
                     .sha256 = update->sha256,
                     .version = update->version,
                     .release_counter = update->release_counter};
}

}  // namespace countersign::device
