#include "services/inventory/api/fleet_handlers.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/db/page_token.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "services/inventory/api/callers.h"
#include "services/inventory/api/convert.h"
#include "services/inventory/domain/names.h"
#include "services/inventory/domain/orders.h"
#include "services/inventory/domain/provisioning.h"

namespace countersign::inventory {
namespace {

// How long ApproveDevice waits for the App-ID registry.
constexpr absl::Duration kRegistryTimeout = absl::Seconds(10);

// Of what a gateway says: what only an operator or a manufacturer can say is left out.
v1::Device AsAnnounced(const v1::Device& device) {
  v1::Device announced;
  announced.set_name(device.name());
  announced.set_manufacturer(device.manufacturer());
  announced.set_model(device.model());
  announced.set_hardware_version(device.hardware_version());
  announced.set_app_id(device.app_id());
  for (const v1::Component& component : device.components()) {
    v1::Component& added = *announced.add_components();
    added.set_ecu_serial(component.ecu_serial());
    added.set_hardware_id(component.hardware_id());
    added.set_public_key_pem(component.public_key_pem());
    added.set_constrained(component.constrained());
  }
  return announced;
}

absl::StatusOr<domain::Device> DeviceOf(const PendingDevice& pending) {
  v1::Device proto;
  if (!proto.ParseFromString(pending.payload))
    return absl::InternalError("an announced device cannot be read");
  ASSIGN_OR_RETURN(domain::Device device, FromProto(proto, pending.announced));
  device.awaits_enrolment = true;
  for (domain::Component& component : device.components) {
    component.status.state = domain::State::kAwaitingEnrolment;
  }
  return device;
}

std::string EncodeDevice(const domain::Device& device) { return ToProto(device).SerializeAsString(); }

std::string EncodeComponentProto(const domain::Component& component) {
  return ToProto(component).SerializeAsString();
}

absl::Status PageTokenInvalid() {
  return Error(absl::StatusCode::kInvalidArgument, "PAGE_TOKEN_INVALID",
               "page_token: send the one that the page before gave, with the same request.");
}

}  // namespace

void FleetHandlers::Bind(rpc::Service& service) {
  service.Unary("AnnounceDevice", this, &FleetHandlers::AnnounceDevice);
  service.Unary("ListPendingDevices", this, &FleetHandlers::ListPendingDevices);
  service.Unary("ApproveDevice", this, &FleetHandlers::ApproveDevice);
  service.Unary("RejectDevice", this, &FleetHandlers::RejectDevice);
  service.Unary("MoveDevice", this, &FleetHandlers::MoveDevice);
  service.Unary("QuarantineComponent", this, &FleetHandlers::QuarantineComponent);
  service.Unary("ReleaseComponent", this, &FleetHandlers::ReleaseComponent);
  service.Unary("RetireComponent", this, &FleetHandlers::RetireComponent);
  service.Unary("ListComponentHistory", this, &FleetHandlers::ListComponentHistory);
  service.Unary("ListRefusedReports", this, &FleetHandlers::ListRefusedReports);
  service.Unary("SetTags", this, &FleetHandlers::SetTags);
}

absl::Status FleetHandlers::AnnounceDevice(const rpc::Call& call, const v1::AnnounceDeviceRequest& request,
                                           v1::Device* response) {
  const v1::Device announced = AsAnnounced(request.device());
  const absl::Time now = parts_.clock.Now();
  ASSIGN_OR_RETURN(const domain::Device device, FromProto(announced, now));
  RETURN_IF_ERROR(CheckOwnGateway(call, device.gateway_id));
  RETURN_IF_ERROR(domain::CheckDevice(device));
  ASSIGN_OR_RETURN(const domain::Gateway gateway, parts_.store.GetGateway(device.gateway_id));
  RETURN_IF_ERROR(domain::CheckKeysApart(gateway, device));
  std::vector<std::string> serials;
  for (const domain::Component& component : device.components) serials.push_back(component.ecu_serial);
  ASSIGN_OR_RETURN(
      const PendingDevice kept,
      parts_.pending.Announce(
          {device.gateway_id, device.id, device.manufacturer, announced.SerializeAsString(), now}, serials));
  ASSIGN_OR_RETURN(const domain::Device pending, DeviceOf(kept));
  *response = ToProto(pending);
  return absl::OkStatus();
}

absl::Status FleetHandlers::ListPendingDevices(const rpc::Call& call,
                                               const v1::ListPendingDevicesRequest& request,
                                               v1::ListPendingDevicesResponse* response) {
  ASSIGN_OR_RETURN(const std::string gateway_id, domain::ParseDeviceParent(request.parent()));
  if (!gateway_id.empty()) RETURN_IF_ERROR(CheckOwnGateway(call, gateway_id));
  const std::string scope = PageScope(call, request.parent());
  ASSIGN_OR_RETURN(const int page_size, db::PageSize(request.page_size(), kDefaultPageSize, kMaxPageSize));
  ASSIGN_OR_RETURN(const std::vector<std::string> after, db::DecodePageToken(scope, request.page_token(), 2));
  ASSIGN_OR_RETURN(const std::vector<PendingDevice> devices,
                   parts_.pending.List(
                       gateway_id, VisibilityOf(call),
                       after.empty() ? std::pair<std::string, std::string>() : std::pair(after[0], after[1]),
                       page_size + 1));
  for (const PendingDevice& pending : devices) {
    if (response->devices_size() == page_size) {
      const PendingDevice& last = devices[page_size - 1];
      response->set_next_page_token(db::EncodePageToken(scope, {last.gateway_id, last.device_id}));
      break;
    }
    ASSIGN_OR_RETURN(const domain::Device device, DeviceOf(pending));
    *response->add_devices() = ToProto(device);
  }
  return absl::OkStatus();
}

absl::Status FleetHandlers::ApproveDevice(const rpc::Call& call, const v1::ApproveDeviceRequest& request,
                                          v1::Device* response) {
  RETURN_IF_ERROR(rpc::CheckRequestId(request.request_id()));
  ASSIGN_OR_RETURN(const domain::DeviceName name, domain::ParseDeviceName(request.name()));
  const absl::StatusOr<PendingDevice> pending =
      parts_.pending.Get(name.gateway_id, name.device_id, VisibilityOf(call));
  if (!pending.ok() && !absl::IsNotFound(pending.status())) return pending.status();
  std::optional<domain::Device> device;
  if (pending.ok()) {
    ASSIGN_OR_RETURN(device, DeviceOf(*pending));
    device->awaits_enrolment = false;
    device->create_time = parts_.clock.Now();
    for (domain::Component& component : device->components)
      component.status.state = domain::State::kUnverified;
    if (!device->app_id.empty()) {
      ASSIGN_OR_RETURN(
          AppIdRegistryClient::Verdict verdict,
          parts_.app_id_registry.Verify(device->app_id,
                                        std::min(call.deadline(), SystemClock().Now() + kRegistryTimeout)));
      device->app_id_status = verdict.status;
      device->app_id_findings = std::move(verdict.findings);
    }
  }
  ASSIGN_OR_RETURN(const std::string bytes, parts_.store.ApproveDevice(MutationOf(call, request), device,
                                                                       pending.ok() ? pending->payload : "",
                                                                       EncodeDevice, EncodeComponentProto));
  parts_.tail.Nudge();
  return ParseStored(bytes, response);
}

absl::Status FleetHandlers::RejectDevice(const rpc::Call& call, const v1::RejectDeviceRequest& request,
                                         v1::RejectDeviceResponse*) {
  RETURN_IF_ERROR(rpc::CheckRequestId(request.request_id()));
  ASSIGN_OR_RETURN(const domain::DeviceName name, domain::ParseDeviceName(request.name()));
  return parts_.pending.Reject(MutationOf(call, request), name.gateway_id, name.device_id,
                               VisibilityOf(call));
}

absl::Status FleetHandlers::MoveDevice(const rpc::Call& call, const v1::MoveDeviceRequest& request,
                                       v1::Device* response) {
  RETURN_IF_ERROR(rpc::CheckRequestId(request.request_id()));
  ASSIGN_OR_RETURN(const domain::DeviceName name, domain::ParseDeviceName(request.name()));
  ASSIGN_OR_RETURN(const std::string destination, domain::ParseGatewayName(request.destination()));
  if (destination == name.gateway_id) {
    return Error(absl::StatusCode::kInvalidArgument, "SAME_GATEWAY",
                 "destination: the device is behind this gateway already.");
  }
  ASSIGN_OR_RETURN(const std::string bytes,
                   parts_.orders.Move(MutationOf(call, request), name.gateway_id, name.device_id, destination,
                                      parts_.clock.Now(), EncodeDevice));
  parts_.tail.Nudge();
  return ParseStored(bytes, response);
}

template <typename Request>
absl::Status FleetHandlers::Order(const rpc::Call& call, const Request& request, Orders::Rule rule,
                                  v1::Component* response) {
  RETURN_IF_ERROR(rpc::CheckRequestId(request.request_id()));
  ASSIGN_OR_RETURN(const domain::ComponentId id, domain::ParseComponentName(request.name()));
  RETURN_IF_ERROR(domain::CheckNote(request.reason()));
  ASSIGN_OR_RETURN(const std::string bytes,
                   parts_.orders.Apply(MutationOf(call, request), id.gateway_id, id.ecu_serial,
                                       request.reason(), parts_.clock.Now(), rule));
  parts_.tail.Nudge();
  return ParseStored(bytes, response);
}

absl::Status FleetHandlers::QuarantineComponent(const rpc::Call& call,
                                                const v1::QuarantineComponentRequest& request,
                                                v1::Component* response) {
  return Order(
      call, request,
      [&](domain::ComponentStatus& status) {
        return domain::OrderQuarantine(call.identity().ToString(), request.reason(), parts_.clock.Now(),
                                       status);
      },
      response);
}

absl::Status FleetHandlers::ReleaseComponent(const rpc::Call& call,
                                             const v1::ReleaseComponentRequest& request,
                                             v1::Component* response) {
  return Order(call, request, domain::Release, response);
}

absl::Status FleetHandlers::RetireComponent(const rpc::Call& call, const v1::RetireComponentRequest& request,
                                            v1::Component* response) {
  return Order(call, request, domain::Retire, response);
}

absl::Status FleetHandlers::ListComponentHistory(const rpc::Call& call,
                                                 const v1::ListComponentHistoryRequest& request,
                                                 v1::ListComponentHistoryResponse* response) {
  ASSIGN_OR_RETURN(const domain::ComponentId id, domain::ParseComponentName(request.parent()));
  RETURN_IF_ERROR(CheckOwnGateway(call, id.gateway_id));
  const std::string scope = PageScope(call, request.parent());
  ASSIGN_OR_RETURN(const int page_size, db::PageSize(request.page_size(), kDefaultPageSize, kMaxPageSize));
  ASSIGN_OR_RETURN(const std::vector<std::string> token, db::DecodePageToken(scope, request.page_token(), 2));
  std::optional<History::Position> before;
  if (!token.empty()) {
    int64_t micros = 0;
    int64_t last = 0;
    if (!absl::SimpleAtoi(token[0], &micros) || !absl::SimpleAtoi(token[1], &last)) return PageTokenInvalid();
    before = History::Position(absl::FromUnixMicros(micros), last);
  }
  ASSIGN_OR_RETURN(
      const std::vector<domain::ComponentChange> changes,
      parts_.history.ListChanges(id.gateway_id, id.ecu_serial, VisibilityOf(call), before, page_size + 1));
  for (const domain::ComponentChange& change : changes) {
    if (response->changes_size() == page_size) {
      const domain::ComponentChange& last = changes[page_size - 1];
      response->set_next_page_token(
          db::EncodePageToken(scope, {absl::StrCat(absl::ToUnixMicros(last.time)), absl::StrCat(last.id)}));
      break;
    }
    *response->add_changes() = ToProto(change);
  }
  return absl::OkStatus();
}

absl::Status FleetHandlers::ListRefusedReports(const rpc::Call& call,
                                               const v1::ListRefusedReportsRequest& request,
                                               v1::ListRefusedReportsResponse* response) {
  ASSIGN_OR_RETURN(const std::string gateway_id, domain::ParseGatewayName(request.parent()));
  const std::string scope = PageScope(call, request.parent());
  ASSIGN_OR_RETURN(const int page_size, db::PageSize(request.page_size(), kDefaultPageSize, kMaxPageSize));
  ASSIGN_OR_RETURN(const std::vector<std::string> token, db::DecodePageToken(scope, request.page_token(), 1));
  std::optional<int64_t> before;
  if (!token.empty() && !absl::SimpleAtoi(token[0], &before.emplace())) return PageTokenInvalid();
  ASSIGN_OR_RETURN(const std::vector<domain::RefusedReport> reports,
                   parts_.history.ListRefused(gateway_id, before, page_size + 1));
  for (const domain::RefusedReport& report : reports) {
    if (response->reports_size() == page_size) {
      response->set_next_page_token(db::EncodePageToken(scope, {absl::StrCat(reports[page_size - 1].id)}));
      break;
    }
    *response->add_reports() = ToProto(report);
  }
  return absl::OkStatus();
}

absl::Status FleetHandlers::SetTags(const rpc::Call& call, const v1::SetTagsRequest& request,
                                    v1::SetTagsResponse* response) {
  RETURN_IF_ERROR(rpc::CheckRequestId(request.request_id()));
  std::string gateway_id;
  std::string device_id;
  if (const absl::StatusOr<domain::DeviceName> device = domain::ParseDeviceName(request.name());
      device.ok()) {
    gateway_id = device->gateway_id;
    device_id = device->device_id;
  } else {
    ASSIGN_OR_RETURN(gateway_id, domain::ParseGatewayName(request.name()));
  }
  ASSIGN_OR_RETURN(
      const std::string bytes,
      parts_.orders.SetTags(MutationOf(call, request), gateway_id, device_id,
                            domain::Tags(request.set().begin(), request.set().end()),
                            {request.remove().begin(), request.remove().end()}, [](const domain::Tags& tags) {
                              v1::SetTagsResponse encoded;
                              encoded.mutable_tags()->insert(tags.begin(), tags.end());
                              return encoded.SerializeAsString();
                            }));
  return ParseStored(bytes, response);
}

}  // namespace countersign::inventory
