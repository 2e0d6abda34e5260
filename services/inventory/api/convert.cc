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

v1::Component::ImageVerdict ToProto(domain::ImageVerdict verdict) {
  switch (verdict) {
    case domain::ImageVerdict::kNone:
      return v1::Component::IMAGE_VERDICT_UNSPECIFIED;
    case domain::ImageVerdict::kPublished:
      return v1::Component::IMAGE_VERDICT_PUBLISHED;
    case domain::ImageVerdict::kFactory:
      return v1::Component::IMAGE_VERDICT_FACTORY;
    case domain::ImageVerdict::kUnknown:
      return v1::Component::IMAGE_VERDICT_UNKNOWN;
    case domain::ImageVerdict::kDiffers:
      return v1::Component::IMAGE_VERDICT_DIFFERS;
    case domain::ImageVerdict::kRevoked:
      return v1::Component::IMAGE_VERDICT_REVOKED;
  }
  return v1::Component::IMAGE_VERDICT_UNSPECIFIED;
}

void SetImage(const domain::InstalledImage& image, v1::InstalledImage& proto) {
  proto.set_target_path(image.target_path);
  proto.set_length_bytes(image.length_bytes);
  proto.set_sha256(image.sha256);
  proto.set_version(image.version);
  proto.set_release_counter(image.release_counter);
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
    case domain::State::kAwaitingEnrolment:
      return v1::Component::STATE_AWAITING_ENROLMENT;
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

google::protobuf::Duration ToProto(absl::Duration duration) {
  google::protobuf::Duration proto;
  proto.set_seconds(absl::IDivDuration(duration, absl::Seconds(1), &duration));
  proto.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(duration)));
  return proto;
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
  proto.mutable_tags()->insert(gateway.tags.begin(), gateway.tags.end());
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
  proto.set_enrolment(device.awaits_enrolment ? v1::Device::ENROLMENT_AWAITING
                                              : v1::Device::ENROLMENT_ENROLLED);
  proto.mutable_tags()->insert(device.tags.begin(), device.tags.end());
  for (const domain::AppIdFinding& finding : device.app_id_findings) {
    v1::AppIdFinding& added = *proto.add_app_id_findings();
    added.set_code(finding.code);
    added.set_severity(finding.severity);
    added.set_message(finding.message);
  }
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
  if (status.installed.has_value()) SetImage(*status.installed, *proto.mutable_installed());
  proto.mutable_software_versions()->insert(status.software_versions.begin(), status.software_versions.end());
  proto.set_report_counter(status.report_counter);
  if (status.report_time.has_value()) *proto.mutable_report_time() = ToProto(*status.report_time);
  proto.set_attacks_detected(status.attacks_detected);
  proto.set_refused_reports(status.refused_reports);
  proto.set_image_verdict(ToProto(status.image_verdict));
  proto.set_factory_sha256(component.factory_sha256);
  proto.set_approval_result(status.approval_result);
  proto.set_approval_override(status.approval_override);
  proto.set_failure_count(status.failure_count);
  for (const domain::UpdateFailure& failure : status.last_errors) {
    v1::UpdateFailure& added = *proto.add_last_errors();
    *added.mutable_time() = ToProto(failure.time);
    added.set_phase(failure.phase);
    added.set_reason(failure.reason);
    added.set_detail(failure.detail);
    added.set_version(failure.version);
    added.set_rollout(failure.rollout);
  }
  if (status.first_report_time.has_value()) {
    *proto.mutable_first_report_time() = ToProto(*status.first_report_time);
  }
  if (status.quarantine.has_value()) {
    v1::Quarantine& quarantine = *proto.mutable_quarantine();
    *quarantine.mutable_order_time() = ToProto(status.quarantine->order_time);
    quarantine.set_ordered_by(status.quarantine->ordered_by);
    quarantine.set_reason(status.quarantine->reason);
    if (status.quarantine->confirm_time.has_value()) {
      *quarantine.mutable_confirm_time() = ToProto(*status.quarantine->confirm_time);
    }
  }
  proto.set_stopped(status.stopped);
  proto.mutable_tags()->insert(component.tags.begin(), component.tags.end());
  return proto;
}

v1::ComponentChange ToProto(const domain::ComponentChange& change) {
  v1::ComponentChange proto;
  *proto.mutable_time() = ToProto(change.time);
  proto.set_cause(std::string(domain::ChangeCauseName(change.cause)));
  proto.set_actor(change.actor);
  proto.set_note(change.note);
  proto.set_gateway(change.gateway_id);
  proto.set_state(ToProto(change.status.state));
  proto.set_state_reason(change.status.reason);
  if (change.status.installed.has_value()) SetImage(*change.status.installed, *proto.mutable_installed());
  proto.set_image_verdict(ToProto(change.status.image_verdict));
  proto.set_report_counter(change.status.report_counter);
  proto.set_manifest_counter(change.manifest_counter);
  proto.set_attacks_detected(change.status.attacks_detected);
  proto.mutable_software_versions()->insert(change.status.software_versions.begin(),
                                            change.status.software_versions.end());
  return proto;
}

v1::RefusedReport ToProto(const domain::RefusedReport& report) {
  v1::RefusedReport proto;
  *proto.mutable_time() = ToProto(report.time);
  proto.set_manifest_counter(report.manifest_counter);
  proto.set_ecu_serial(report.ecu_serial);
  proto.set_reason(report.reason);
  proto.set_message(report.message);
  proto.set_report(report.report);
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
  gateway.tags.insert(proto.tags().begin(), proto.tags().end());
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
  device.tags.insert(proto.tags().begin(), proto.tags().end());
  for (const v1::Component& component_proto : proto.components()) {
    domain::Component& component = device.components.emplace_back();
    component.gateway_id = device.gateway_id;
    component.device_id = device.id;
    component.ecu_serial = component_proto.ecu_serial();
    component.hardware_id = component_proto.hardware_id();
    component.public_key_pem = component_proto.public_key_pem();
    component.constrained = component_proto.constrained();
    component.factory_sha256 = component_proto.factory_sha256();
    component.manufacturer = device.manufacturer;
    component.model = device.model;
  }
  return device;
}

}  // namespace countersign::inventory
