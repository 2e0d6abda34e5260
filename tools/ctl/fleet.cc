// gateway, device, component: what the inventory keeps.
#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/crypto/random.h"
#include "common/file/file.h"
#include "common/status/errors.h"
#include "countersign/inventory/v1/inventory.grpc.pb.h"
#include "tools/ctl/call.h"
#include "tools/ctl/commands.h"

namespace countersign::ctl {
namespace {

namespace inventory = countersign::inventory::v1;
using inventory::InventoryService;

void AddGateway(CLI::App& app, Session& session) {
  CLI::App& group = *app.add_subcommand("gateway", "Gateways: the boxes that speak for a home or a vehicle");
  group.require_subcommand(1);

  struct Create {
    std::string id, kind, key_file, proxy_key_file, display_name;
  };
  auto create = std::make_shared<Create>();
  CLI::App* verb = session.AddVerb(
      group, "create", "Provision a gateway (operator)", [&session, create]() -> absl::Status {
        inventory::CreateGatewayRequest request;
        request.set_request_id(crypto::Uuid());
        inventory::Gateway& gateway = *request.mutable_gateway();
        gateway.set_name(ResourceName("gateways", create->id));
        gateway.set_kind(create->kind == "home" ? inventory::Gateway::KIND_HOME
                                                : inventory::Gateway::KIND_VEHICLE);
        gateway.set_display_name(create->display_name);
        ASSIGN_OR_RETURN(*gateway.mutable_public_key_pem(), ReadFile(create->key_file));
        if (!create->proxy_key_file.empty()) {
          ASSIGN_OR_RETURN(*gateway.mutable_proxy_public_key_pem(), ReadFile(create->proxy_key_file));
        }
        return CallAndPrint<InventoryService>(session, "inventory", &InventoryService::Stub::CreateGateway,
                                              request);
      });
  verb->add_option("id", create->id, "id of the gateway, as in its certificate")->required();
  verb->add_option("--kind", create->kind, "home or vehicle")
      ->required()
      ->check(CLI::IsMember({"home", "vehicle"}));
  verb->add_option("--key", create->key_file, "PEM public key that verifies its manifests")->required();
  verb->add_option("--proxy-key", create->proxy_key_file,
                   "PEM public key for the reports of constrained components");
  verb->add_option("--display-name", create->display_name, "a name for people");

  auto get = std::make_shared<inventory::GetGatewayRequest>();
  verb = session.AddVerb(group, "show", "Show a gateway", [&session, get] {
    get->set_name(ResourceName("gateways", get->name()));
    return CallAndPrint<InventoryService>(session, "inventory", &InventoryService::Stub::GetGateway, *get);
  });
  verb->add_option("id", *get->mutable_name(), "id of the gateway")->required();

  session.AddVerb(group, "list", "List the gateways", [&session] {
    return ListAndPrint<InventoryService>(session, "inventory", &InventoryService::Stub::ListGateways,
                                          inventory::ListGatewaysRequest(),
                                          &inventory::ListGatewaysResponse::gateways,
                                          {{"GATEWAY", "name"},
                                           {"KIND", "kind"},
                                           {"DISPLAY NAME", "display_name"},
                                           {"LAST MANIFEST", "last_manifest_time"}});
  });
}

void AddDevice(CLI::App& app, Session& session) {
  CLI::App& group = *app.add_subcommand("device", "Devices behind a gateway, and ECUs of a vehicle");
  group.require_subcommand(1);

  struct Create {
    std::string gateway, file;
  };
  auto create = std::make_shared<Create>();
  CLI::App* verb = session.AddVerb(
      group, "create", "Provision a device (operator, manufacturer)", [&session, create]() -> absl::Status {
        inventory::CreateDeviceRequest request;
        request.set_request_id(crypto::Uuid());
        RETURN_IF_ERROR(ReadJson(create->file, request.mutable_device()));
        inventory::Device& device = *request.mutable_device();
        if (!create->gateway.empty()) {
          const std::string id = device.name().substr(device.name().rfind('/') + 1);
          device.set_name(absl::StrCat(ResourceName("gateways", create->gateway), "/devices/", id));
        }
        return CallAndPrint<InventoryService>(session, "inventory", &InventoryService::Stub::CreateDevice,
                                              request);
      });
  verb->add_option("--gateway", create->gateway, "id of its gateway; wins over the file's");
  verb->add_option("file", create->file,
                   "countersign.inventory.v1.Device in JSON, as `device provision` writes it")
      ->required();

  auto get = std::make_shared<inventory::GetDeviceRequest>();
  verb = session.AddVerb(group, "show", "Show a device", [&session, get] {
    return CallAndPrint<InventoryService>(session, "inventory", &InventoryService::Stub::GetDevice, *get);
  });
  verb->add_option("name", *get->mutable_name(), "gateways/{gateway}/devices/{device}")->required();

  auto list = std::make_shared<inventory::ListDevicesRequest>();
  list->set_parent("-");
  verb = session.AddVerb(group, "list", "List devices", [&session, list] {
    list->set_parent(ResourceName("gateways", list->parent()));
    return ListAndPrint<InventoryService>(session, "inventory", &InventoryService::Stub::ListDevices, *list,
                                          &inventory::ListDevicesResponse::devices,
                                          {{"DEVICE", "name"},
                                           {"MANUFACTURER", "manufacturer"},
                                           {"MODEL", "model"},
                                           {"HARDWARE", "hardware_version"},
                                           {"APP-ID", "app_id"},
                                           {"REGISTRY", "app_id_status"}});
  });
  verb->add_option("--gateway", *list->mutable_parent(), "only those behind this gateway");

  auto components = std::make_shared<inventory::ListComponentsRequest>();
  verb = session.AddVerb(group, "components", "List components and what they run", [&session, components] {
    return ListAndPrint<InventoryService>(session, "inventory", &InventoryService::Stub::ListComponents,
                                          *components, &inventory::ListComponentsResponse::components,
                                          {{"COMPONENT", "name"},
                                           {"MANUFACTURER", "manufacturer"},
                                           {"MODEL", "model"},
                                           {"HARDWARE", "hardware_id"},
                                           {"VERSION", "installed.version"},
                                           {"STATE", "state"},
                                           {"REASON", "state_reason"},
                                           {"REPORTED", "report_time"}});
  });
  verb->add_option("--filter", *components->mutable_filter(),
                   "e.g. 'manufacturer = \"acme\" AND state = \"VERIFIED\"'");
}

}  // namespace

void AddFleetCommands(CLI::App& app, Session& session) {
  AddGateway(app, session);
  AddDevice(app, session);
}

}  // namespace countersign::ctl
