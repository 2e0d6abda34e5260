// component, tag, and of device and gateway what is ordered about them: enrolment, moves, orders to stop, and
// what was.
#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/crypto/random.h"
#include "common/status/errors.h"
#include "countersign/inventory/v1/inventory.grpc.pb.h"
#include "tools/ctl/call.h"
#include "tools/ctl/commands.h"

namespace countersign::ctl {
namespace {

namespace inventory = countersign::inventory::v1;
using inventory::InventoryService;
using Stub = InventoryService::Stub;

constexpr char kDeviceName[] = "gateways/{gateway}/devices/{device}";
constexpr char kComponentName[] = "gateways/{gateway}/components/{ecu_serial}";

void AddEnrolment(CLI::App& group, Session& session) {
  auto pending = std::make_shared<std::string>();
  CLI::App* verb = session.AddVerb(
      group, "pending", "List devices that a gateway found and that await enrolment", [&session, pending] {
        inventory::ListPendingDevicesRequest request;
        request.set_parent(ResourceName("gateways", pending->empty() ? "-" : *pending));
        return ListAndPrint<InventoryService>(session, "inventory", &Stub::ListPendingDevices, request,
                                              &inventory::ListPendingDevicesResponse::devices,
                                              {{"DEVICE", "name"},
                                               {"MANUFACTURER", "manufacturer"},
                                               {"MODEL", "model"},
                                               {"HARDWARE", "hardware_version"},
                                               {"APP-ID", "app_id"},
                                               {"FIRST TOLD", "create_time"}});
      });
  verb->add_option("--gateway", *pending, "only those behind this gateway");

  auto approve = std::make_shared<inventory::ApproveDeviceRequest>();
  verb = session.AddVerb(
      group, "approve", "Enrol a device that awaits it (operator, manufacturer)", [&session, approve] {
        approve->set_request_id(crypto::Uuid());
        return CallAndPrint<InventoryService>(session, "inventory", &Stub::ApproveDevice, *approve);
      });
  verb->add_option("name", *approve->mutable_name(), kDeviceName)->required();

  auto reject = std::make_shared<inventory::RejectDeviceRequest>();
  verb = session.AddVerb(
      group, "reject", "Forget a device that awaits enrolment (operator, manufacturer)", [&session, reject] {
        reject->set_request_id(crypto::Uuid());
        return CallAndPrint<InventoryService>(session, "inventory", &Stub::RejectDevice, *reject);
      });
  verb->add_option("name", *reject->mutable_name(), kDeviceName)->required();

  auto move = std::make_shared<inventory::MoveDeviceRequest>();
  verb = session.AddVerb(group, "move", "Move a device behind another gateway (operator)", [&session, move] {
    move->set_request_id(crypto::Uuid());
    move->set_destination(ResourceName("gateways", move->destination()));
    return CallAndPrint<InventoryService>(session, "inventory", &Stub::MoveDevice, *move);
  });
  verb->add_option("name", *move->mutable_name(), kDeviceName)->required();
  verb->add_option("--to", *move->mutable_destination(), "id of the gateway where it is to be")->required();
}

// A verb that orders something about a component.
template <typename Request>
void AddOrder(CLI::App& group, Session& session, const std::string& name, const std::string& help,
              grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, inventory::Component*)) {
  auto order = std::make_shared<Request>();
  CLI::App* verb = session.AddVerb(group, name, help, [&session, order, method] {
    order->set_request_id(crypto::Uuid());
    return CallAndPrint<InventoryService>(session, "inventory", method, *order);
  });
  verb->add_option("name", *order->mutable_name(), kComponentName)->required();
  verb->add_option("--reason", *order->mutable_reason(), "why, for the history")->required();
}

void AddComponent(CLI::App& app, Session& session) {
  CLI::App& group = *app.add_subcommand("component", "Components: orders to stop, and what was");
  group.require_subcommand(1);
  AddOrder<inventory::QuarantineComponentRequest>(
      group, session, "quarantine", "Order it to stop operating (operator)", &Stub::QuarantineComponent);
  AddOrder<inventory::ReleaseComponentRequest>(group, session, "release", "Take that order back (operator)",
                                               &Stub::ReleaseComponent);
  AddOrder<inventory::RetireComponentRequest>(
      group, session, "retire", "Take it out of service for ever (operator)", &Stub::RetireComponent);

  auto history = std::make_shared<inventory::ListComponentHistoryRequest>();
  CLI::App* verb = session.AddVerb(
      group, "history", "What it was known to be and to run, newest first", [&session, history] {
        return ListAndPrint<InventoryService>(session, "inventory", &Stub::ListComponentHistory, *history,
                                              &inventory::ListComponentHistoryResponse::changes,
                                              {{"TIME", "time"},
                                               {"CAUSE", "cause"},
                                               {"BY", "actor"},
                                               {"STATE", "state"},
                                               {"REASON", "state_reason"},
                                               {"VERSION", "installed.version"},
                                               {"IMAGE", "image_verdict"},
                                               {"NOTE", "note"}});
      });
  verb->add_option("name", *history->mutable_parent(), kComponentName)->required();
}

void AddRefused(CLI::App& group, Session& session) {
  auto refused = std::make_shared<inventory::ListRefusedReportsRequest>();
  CLI::App* verb = session.AddVerb(
      group, "refused",
      "List what a gateway sent and was refused, and the incidents that it told of (operator)",
      [&session, refused] {
        refused->set_parent(ResourceName("gateways", refused->parent()));
        return ListAndPrint<InventoryService>(
            session, "inventory", &Stub::ListRefusedReports, *refused,
            &inventory::ListRefusedReportsResponse::reports,
            {{"TIME", "time"}, {"COMPONENT", "ecu_serial"}, {"REASON", "reason"}, {"MESSAGE", "message"}});
      });
  verb->add_option("id", *refused->mutable_parent(), "id of the gateway")->required();
}

void AddTag(CLI::App& app, Session& session) {
  struct Tag {
    std::string name;
    std::vector<std::string> set, remove;
  };
  auto tag = std::make_shared<Tag>();
  CLI::App& group =
      *app.add_subcommand("tag", "Tags of gateways and devices, which their components have too");
  group.require_subcommand(1);
  CLI::App* verb =
      session.AddVerb(group, "set", "Set and remove tags (operator)", [&session, tag]() -> absl::Status {
        inventory::SetTagsRequest request;
        request.set_name(tag->name);
        request.set_request_id(crypto::Uuid());
        for (const std::string& pair : tag->set) {
          const std::vector<std::string> parts = absl::StrSplit(pair, absl::MaxSplits('=', 1));
          if (parts.size() != 2) {
            return Error(absl::StatusCode::kInvalidArgument, "TAG_INVALID",
                         absl::StrCat("\"", pair, "\" is not name=value."));
          }
          (*request.mutable_set())[parts[0]] = parts[1];
        }
        request.mutable_remove()->Add(tag->remove.begin(), tag->remove.end());
        return CallAndPrint<InventoryService>(session, "inventory", &Stub::SetTags, request);
      });
  verb->add_option("name", tag->name, absl::StrCat("gateways/{gateway}, or ", kDeviceName))->required();
  verb->add_option("tags", tag->set, "name=value");
  verb->add_option("--remove", tag->remove, "name of a tag that it is not to have");
}

}  // namespace

void AddOrderCommands(CLI::App& app, Session& session) {
  AddEnrolment(*app.get_subcommand("device"), session);
  AddRefused(*app.get_subcommand("gateway"), session);
  AddComponent(app, session);
  AddTag(app, session);
}

}  // namespace countersign::ctl
