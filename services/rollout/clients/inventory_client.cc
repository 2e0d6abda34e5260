#include "services/rollout/clients/inventory_client.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/feed/pump.h"
#include "common/rpc/status_grpc.h"
#include "common/status/errors.h"
#include "countersign/inventory/v1/inventory.grpc.pb.h"

namespace countersign::rollout {
namespace {

using inventory::v1::InventoryService;

// gateways/{gateway}/components/{ecu_serial}
std::string GatewayOf(const std::string& component_name) {
  const std::vector<std::string> parts = absl::StrSplit(component_name, '/');
  return parts.size() == 4 && parts[0] == "gateways" ? parts[1] : "";
}

Component FromProto(const inventory::v1::Component& proto) {
  Component component;
  component.gateway = GatewayOf(proto.name());
  component.ecu_serial = proto.ecu_serial();
  component.hardware_id = proto.hardware_id();
  component.manufacturer = proto.manufacturer();
  component.model = proto.model();
  component.version = proto.installed().version();
  component.sha256 = proto.installed().sha256();
  component.release_counter = proto.installed().release_counter();
  component.report_counter = proto.report_counter();
  component.modified = proto.state() == inventory::v1::Component::STATE_MODIFIED;
  component.quarantined = proto.state() == inventory::v1::Component::STATE_QUARANTINED;
  component.proxied = proto.state() == inventory::v1::Component::STATE_PROXIED;
  // COMPROMISED and QUARANTINED say that its word does not count, UNVERIFIED that there is none.
  component.proved =
      component.modified || component.proxied || proto.state() == inventory::v1::Component::STATE_VERIFIED;
  return component;
}

}  // namespace

struct InventoryClient::State {
  std::unique_ptr<InventoryService::Stub> stub;
};

InventoryClient::InventoryClient(const rpc::Dialer& dialer, absl::string_view address)
    : state_(new State{InventoryService::NewStub(dialer.Dial(address, {rpc::Role::kService, "inventory"}))}) {
}

InventoryClient::~InventoryClient() = default;

absl::Status InventoryClient::CheckFilter(const std::string& filter, absl::Time deadline) {
  inventory::v1::ListComponentsRequest request;
  request.set_filter(filter);
  request.set_page_size(1);
  inventory::v1::ListComponentsResponse response;
  rpc::CallContext context(deadline);
  const absl::Status status = rpc::FromGrpc(state_->stub->ListComponents(context.get(), request, &response));
  if (status.ok()) return status;
  if (absl::IsInvalidArgument(status)) {
    return Error(absl::StatusCode::kInvalidArgument, "FILTER_INVALID",
                 absl::StrCat("rollout.filter: ", status.message()));
  }
  return Error(absl::StatusCode::kUnavailable, "INVENTORY_UNAVAILABLE",
               absl::StrCat("The inventory could not be asked; try again. It answered: ", status.message()));
}

absl::Status InventoryClient::StreamComponents(const std::string& filter, const Take& take,
                                               std::stop_token stop) {
  inventory::v1::StreamComponentsRequest request;
  request.set_filter(filter);
  rpc::CallContext context(absl::InfiniteFuture());
  std::stop_callback on_stop(stop, [&context] { context->TryCancel(); });
  const auto reader = state_->stub->StreamComponents(context.get(), request);
  inventory::v1::StreamComponentsResponse response;
  absl::Status taken;
  while (taken.ok() && reader->Read(&response)) {
    std::vector<Component> components;
    components.reserve(response.components_size());
    for (const inventory::v1::Component& component : response.components()) {
      components.push_back(FromProto(component));
    }
    taken = take(std::move(components));
  }
  if (!taken.ok()) context->TryCancel();
  const absl::Status status = rpc::FromGrpc(reader->Finish());
  return taken.ok() ? status : taken;
}

absl::Status InventoryClient::Watch(const std::string& token, const feed::Follower::Sink& sink,
                                    std::stop_token stop) {
  inventory::v1::WatchComponentsRequest request;
  request.set_resume_token(token);
  rpc::CallContext context(absl::InfiniteFuture());
  const auto reader = state_->stub->WatchComponents(context.get(), request);
  return feed::PumpWatch<inventory::v1::WatchComponentsResponse>(
      *context.get(), *reader,
      [](const inventory::v1::WatchComponentsResponse& response) {
        feed::Event event;
        event.token = response.resume_token();
        event.kind = "component";
        event.key = response.component().name();
        event.payload = response.component().SerializeAsString();
        event.created_at = absl::FromUnixSeconds(response.change_time().seconds()) +
                           absl::Nanoseconds(response.change_time().nanos());
        return event;
      },
      sink, stop);
}

absl::StatusOr<Component> InventoryClient::ComponentOf(const feed::Event& event) {
  inventory::v1::Component proto;
  if (!proto.ParseFromString(event.payload)) return absl::InternalError("not a component");
  return FromProto(proto);
}

}  // namespace countersign::rollout
