#include "services/inventory/api/convert.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "services/inventory/domain/names.h"

namespace countersign::inventory {
namespace {

v1::Gateway::Kind ToProto(domain::GatewayKind kind) {
  switch (kind) {
    case domain::GatewayKind::kHome:
      return v1::Gateway::KIND_HOME;
    case domain::GatewayKind::kVehicle:
      return v1::Gateway::KIND_VEHICLE;
  }
  return v1::Gateway::KIND_UNSPECIFIED;
}

v1::Device::AppIdStatus ToProto(domain::AppIdStatus status) {
  switch (status) {
    case domain::AppIdStatus::kNone:
      return v1::Device::APP_ID_STATUS_UNSPECIFIED;
    case domain::AppIdStatus::kRegistered:
      return v1::Device::APP_ID_STATUS_REGISTERED;
    case domain::AppIdStatus::kNotRegistered:
      return v1::Device::APP_ID_STATUS_NOT_REGISTERED;
    case domain::AppIdStatus::kNotInForce:
      return v1::Device::APP_ID_STATUS_NOT_IN_FORCE;
  }
  return v1::Device::APP_ID_STATUS_UNSPECIFIED;
}

}  // namespace

v1::Component::State ToProto(domain::State state) {
  switch (state) {
    case domain::State::kUnverified:
      return v1::Component::STATE_UNVERIFIED;
    case domain::State::kVerified:
      return v1::Component::STATE_VERIFIED;
    case domain::State::kProxied:
      return v1::Component::STATE_PROXIED;
    case domain::State::kModified:
      return v1::Component::STATE_MODIFIED;
    case domain::State::kCompromised:
      return v1::Component::STATE_COMPROMISED;
    case domain::State::kQuarantined:
      return v1::Component::STATE_QUARANTINED;
    case domain::State::kRetired:
      return v1::Component::STATE_RETIRED;
  }
  return v1::Component::STATE_UNSPECIFIED;
}

google::protobuf::Timestamp ToProto(absl::Time time) {
  google::protobuf::Timestamp timestamp;
  const int64_t nanos = absl::ToUnixNanos(time);
  timestamp.set_seconds(absl::ToUnixSeconds(time));
  timestamp.set_nanos(static_cast<int32_t>(nanos - timestamp.seconds() * 1'000'000'000));
  return timestamp;
}

v1::Gateway ToProto(const domain::Gateway& gateway) {
  v1::Gateway proto;
  proto.set_name(domain::GatewayName(gateway.id));
  proto.set_kind(ToProto(gateway.kind));
  proto.set_display_name(gateway.display_name);
  proto.set_public_key_pem(gateway.public_key_pem);
  proto.set_proxy_public_key_pem(gateway.proxy_public_key_pem);
  *proto.mutable_create_time() = ToProto(gateway.create_time);
  if (gateway.last_manifest_time.has_value()) {
    *proto.mutable_last_manifest_time() = ToProto(*gateway.last_manifest_time);
  }
  proto.set_last_manifest_counter(gateway.last_manifest_counter);
  return proto;
}

v1::Device ToProto(const domain::Device& device) {
  v1::Device proto;
  proto.set_name(domain::FormatDeviceName(device.gateway_id, device.id));
  proto.set_manufacturer(device.manufacturer);
  proto.set_model(device.model);
  proto.set_hardware_version(device.hardware_version);
  proto.set_app_id(device.app_id);
  proto.set_app_id_status(ToProto(device.app_id_status));
  for (const domain::Component& component : device.components) *proto.add_components() = ToProto(component);
  *proto.mutable_create_time() = ToProto(device.create_time);
  return proto;
}

v1::Component ToProto(const domain::Component& component) {
  v1::Component proto;
  proto.set_name(domain::ComponentName(component.gateway_id, component.ecu_serial));
  proto.set_ecu_serial(component.ecu_serial);
  proto.set_hardware_id(component.hardware_id);
  proto.set_public_key_pem(component.public_key_pem);
  proto.set_constrained(component.constrained);
  proto.set_manufacturer(component.manufacturer);
  proto.set_model(component.model);
  proto.set_device(domain::FormatDeviceName(component.gateway_id, component.device_id));
  const domain::ComponentStatus& status = component.status;
  proto.set_state(ToProto(status.state));
  proto.set_state_reason(status.reason);
  if (status.installed.has_value()) {
    v1::InstalledImage& installed = *proto.mutable_installed();
    installed.set_target_path(status.installed->target_path);
    installed.set_length_bytes(status.installed->length_bytes);
    installed.set_sha256(status.installed->sha256);
    installed.set_version(status.installed->version);
    installed.set_release_counter(status.installed->release_counter);
  }
  proto.mutable_software_versions()->insert(status.software_versions.begin(), status.software_versions.end());
  proto.set_report_counter(status.report_counter);
  if (status.report_time.has_value()) *proto.mutable_report_time() = ToProto(*status.report_time);
  proto.set_attacks_detected(status.attacks_detected);
  proto.set_refused_reports(status.refused_reports);
  return proto;
}

v1::ComponentResult ToProto(const ReportOutcome& outcome) {
  v1::ComponentResult proto;
  proto.set_ecu_serial(outcome.ecu_serial);
  proto.set_accepted(!outcome.refusal.has_value());
  if (outcome.refusal.has_value()) {
    proto.set_reason(outcome.refusal->reason);
    proto.set_message(outcome.refusal->message);
  }
  if (outcome.state.has_value()) proto.set_state(ToProto(*outcome.state));
  return proto;
}

absl::StatusOr<domain::Gateway> FromProto(const v1::Gateway& proto, absl::Time now) {
  domain::Gateway gateway;
  ASSIGN_OR_RETURN(gateway.id, domain::ParseGatewayName(proto.name()));
  switch (proto.kind()) {
    case v1::Gateway::KIND_HOME:
      gateway.kind = domain::GatewayKind::kHome;
      break;
    case v1::Gateway::KIND_VEHICLE:
      gateway.kind = domain::GatewayKind::kVehicle;
      break;
    default:
      return Error(absl::StatusCode::kInvalidArgument, "GATEWAY_INVALID",
                   "kind: must be KIND_HOME or KIND_VEHICLE.");
  }
  gateway.display_name = proto.display_name();
  gateway.public_key_pem = proto.public_key_pem();
  gateway.proxy_public_key_pem = proto.proxy_public_key_pem();
  gateway.create_time = now;
  return gateway;
}

absl::StatusOr<domain::Device> FromProto(const v1::Device& proto, absl::Time now) {
  ASSIGN_OR_RETURN(domain::DeviceName name, domain::ParseDeviceName(proto.name()));
  domain::Device device;
  device.gateway_id = std::move(name.gateway_id);
  device.id = std::move(name.device_id);
  device.manufacturer = proto.manufacturer();
  device.model = proto.model();
  device.hardware_version = proto.hardware_version();
  device.app_id = proto.app_id();
  device.create_time = now;
  for (const v1::Component& component_proto : proto.components()) {
    domain::Component& component = device.components.emplace_back();
    component.gateway_id = device.gateway_id;
    component.device_id = device.id;
    component.ecu_serial = component_proto.ecu_serial();
    component.hardware_id = component_proto.hardware_id();
    component.public_key_pem = component_proto.public_key_pem();
    component.constrained = component_proto.constrained();
    component.manufacturer = device.manufacturer;
    component.model = device.model;
  }
  return device;
}

}  // namespace countersign::inventory
