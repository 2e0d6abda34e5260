#include "services/inventory/domain/provisioning.h"

#include <algorithm>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/crypto/public_key.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "services/inventory/domain/names.h"
#include "services/inventory/domain/orders.h"

namespace countersign::inventory::domain {
namespace {

// Long enough for a PEM of RSA with 16,384 bits.
constexpr size_t kMaxPemBytes = 4096;
constexpr size_t kMaxComponents = 32;

absl::Status GatewayInvalid(absl::string_view message) {
  return Error(absl::StatusCode::kInvalidArgument, "GATEWAY_INVALID", message);
}

absl::Status DeviceInvalid(absl::string_view message) {
  return Error(absl::StatusCode::kInvalidArgument, "DEVICE_INVALID", message);
}

absl::Status KeyInvalid(absl::string_view message) {
  return Error(absl::StatusCode::kInvalidArgument, crypto::kKeyInvalid, message);
}

absl::StatusOr<crypto::PublicKey> ParseKey(absl::string_view field, absl::string_view pem) {
  if (pem.size() > kMaxPemBytes) {
    return KeyInvalid(absl::StrCat(field, ": longer than ", kMaxPemBytes, " bytes."));
  }
  absl::StatusOr<crypto::PublicKey> key = crypto::PublicKey::FromPem(pem);
  if (!key.ok()) return Annotate(key.status(), field);
  return key;
}

// 1 to `most` bytes without control characters: what the columns and people's screens can hold.
bool IsText(absl::string_view text, size_t least, size_t most) {
  if (text.size() < least || text.size() > most) return false;
  for (char c : text) {
    if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) return false;
  }
  return true;
}

bool IsSha256(absl::string_view text) {
  return text.size() == 64 && std::all_of(text.begin(), text.end(), [](char c) {
           return absl::ascii_isdigit(c) || (c >= 'a' && c <= 'f');
         });
}

absl::Status CheckComponent(const Component& component, std::set<std::string>& serials,
                            std::set<std::string>& keys) {
  if (!IsSerial(component.ecu_serial)) {
    return DeviceInvalid("components.ecu_serial: must be 1 to 64 of [A-Za-z0-9._-].");
  }
  const std::string where = absl::StrCat("Component ", component.ecu_serial);
  if (!serials.insert(component.ecu_serial).second) {
    return DeviceInvalid(absl::StrCat(where, ": is named twice; every component has its own ecu_serial."));
  }
  if (!IsText(component.hardware_id, 1, 64)) {
    return DeviceInvalid(absl::StrCat(where, ": hardware_id must have 1 to 64 characters."));
  }
  if (!component.factory_sha256.empty() && !IsSha256(component.factory_sha256)) {
    return DeviceInvalid(
        absl::StrCat(where, ": factory_sha256 must be 64 lower-case hexadecimal digits, or empty."));
  }
  if (component.constrained) {
    if (component.public_key_pem.empty()) return absl::OkStatus();
    return DeviceInvalid(absl::StrCat(where,
                                      ": a constrained component has no key of its own; leave public_key_pem "
                                      "empty, or constrained false."));
  }
  if (component.public_key_pem.empty()) {
    return DeviceInvalid(
        absl::StrCat(where, ": needs public_key_pem, or constrained true if it cannot sign its reports."));
  }
  ASSIGN_OR_RETURN(const crypto::PublicKey key,
                   ParseKey(absl::StrCat(where, ", public_key_pem"), component.public_key_pem));
  if (!keys.insert(key.Der()).second) {
    return KeyInvalid(
        absl::StrCat(where, ": another component of the device has the same key; give each its own."));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckGateway(const Gateway& gateway) {
  if (!IsPartyId(gateway.id))
    return GatewayInvalid("name: must be gateways/{id}, with the id of its certificate.");
  if (!IsText(gateway.display_name, 0, 128)) {
    return GatewayInvalid("display_name: must have at most 128 characters, without control characters.");
  }
  RETURN_IF_ERROR(CheckTags(gateway.tags));
  ASSIGN_OR_RETURN(const crypto::PublicKey key, ParseKey("public_key_pem", gateway.public_key_pem));
  if (gateway.proxy_public_key_pem.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const crypto::PublicKey proxy_key,
                   ParseKey("proxy_public_key_pem", gateway.proxy_public_key_pem));
  if (key == proxy_key) {
    return KeyInvalid(
        "proxy_public_key_pem: must be another key than public_key_pem, so that the gateway's own word and "
        "the word it gives for others can be told apart.");
  }
  return absl::OkStatus();
}

absl::Status CheckDevice(const Device& device) {
  if (!IsPartyId(device.gateway_id) || !IsSerial(device.id)) {
    return DeviceInvalid("name: must be gateways/{gateway}/devices/{device}.");
  }
  if (!IsPartyId(device.manufacturer)) {
    return DeviceInvalid("manufacturer: must be the id of the manufacturer's certificate.");
  }
  if (!IsText(device.model, 1, 64)) return DeviceInvalid("model: must have 1 to 64 characters.");
  if (!IsText(device.hardware_version, 1, 64)) {
    return DeviceInvalid("hardware_version: must have 1 to 64 characters.");
  }
  if (!IsText(device.app_id, 0, 256)) return DeviceInvalid("app_id: must have at most 256 characters.");
  RETURN_IF_ERROR(CheckTags(device.tags));
  if (device.components.empty() || device.components.size() > kMaxComponents) {
    return DeviceInvalid(absl::StrCat("components: a device has 1 to ", kMaxComponents, " of them."));
  }
  std::set<std::string> serials;
  std::set<std::string> keys;
  for (const Component& component : device.components) {
    RETURN_IF_ERROR(CheckComponent(component, serials, keys));
  }
  return absl::OkStatus();
}

absl::Status CheckKeysApart(const Gateway& gateway, const Device& device) {
  std::set<std::string> gateway_keys;
  for (const std::string& pem : {gateway.public_key_pem, gateway.proxy_public_key_pem}) {
    if (pem.empty()) continue;
    ASSIGN_OR_RETURN(const crypto::PublicKey key, ParseKey("the gateway's key", pem));
    gateway_keys.insert(key.Der());
  }
  for (const Component& component : device.components) {
    if (component.constrained) continue;
    ASSIGN_OR_RETURN(const crypto::PublicKey key, ParseKey("public_key_pem", component.public_key_pem));
    if (gateway_keys.contains(key.Der())) {
      return KeyInvalid(
          absl::StrCat("Component ", component.ecu_serial,
                       ": has a key of its gateway; give it one of its own, or make it constrained."));
    }
  }
  return absl::OkStatus();
}

}  // namespace countersign::inventory::domain
