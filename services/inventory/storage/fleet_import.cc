#include "services/inventory/storage/fleet_import.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "common/db/sql.h"
#include "common/feed/outbox.h"
#include "common/status/errors.h"
#include "services/inventory/domain/names.h"
#include "services/inventory/domain/orders.h"
#include "services/inventory/domain/provisioning.h"
#include "services/inventory/storage/inventory_store.h"
#include "services/inventory/storage/rows.h"

namespace countersign::inventory {
namespace {

using Name = std::pair<std::string, std::string>;  // gateway, device

constexpr char kInsertGateways[] = R"sql(
  INSERT INTO gateways (gateway_id, kind, display_name, public_key_pem, proxy_public_key_pem, created_at, tags)
  SELECT gateway_id, kind, display_name, key, proxy_key, created_at, tags::jsonb
  FROM unnest($1::text[], $2::integer[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::text[])
    AS n (gateway_id, kind, display_name, key, proxy_key, created_at, tags))sql";

constexpr char kInsertDevices[] = R"sql(
  INSERT INTO devices (gateway_id, device_id, manufacturer, model, hardware_version, app_id, app_id_status, created_at,
                       app_id_findings, tags)
  SELECT gateway_id, device_id, manufacturer, model, hardware_version, app_id, app_id_status, created_at, findings,
         tags::jsonb
  FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::integer[], $8::timestamptz[],
              $9::text[], $10::text[])
    AS n (gateway_id, device_id, manufacturer, model, hardware_version, app_id, app_id_status, created_at, findings, tags))sql";

constexpr char kInsertSerials[] = R"sql(
  INSERT INTO serials (ecu_serial, gateway_id) SELECT * FROM unnest($1::text[], $2::text[]))sql";

constexpr char kInsertComponents[] = R"sql(
  INSERT INTO components (gateway_id, ecu_serial, device_id, hardware_id, public_key_pem, manufacturer, model, state,
                          factory_sha256, tags)
  SELECT gateway_id, ecu_serial, device_id, hardware_id, key, manufacturer, model, state, factory_sha256, tags::jsonb
  FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::integer[],
              $9::text[], $10::text[])
    AS n (gateway_id, ecu_serial, device_id, hardware_id, key, manufacturer, model, state, factory_sha256, tags))sql";

constexpr char kDeletePending[] = R"sql(
  DELETE FROM pending_devices p USING unnest($1::text[], $2::text[]) AS n (gateway_id, device_id)
  WHERE p.gateway_id = n.gateway_id AND p.device_id = n.device_id)sql";

absl::Status Differs(absl::string_view what, absl::string_view there, absl::string_view here) {
  return Error(absl::StatusCode::kAlreadyExists, "DIFFERS",
               absl::StrCat("It is there, and its ", what, " is \"", there, "\" and not \"", here, "\"."));
}

absl::Status KeyDiffers(absl::string_view what) {
  return Error(absl::StatusCode::kAlreadyExists, "DIFFERS",
               absl::StrCat("It is there with another ", what, "."));
}

// What of `here` is not as it is there, or OK.
absl::Status Compare(const domain::Gateway& there, const domain::Gateway& here) {
  if (there.kind != here.kind) {
    return Differs("kind", domain::GatewayKindName(there.kind), domain::GatewayKindName(here.kind));
  }
  if (there.display_name != here.display_name)
    return Differs("display_name", there.display_name, here.display_name);
  if (there.public_key_pem != here.public_key_pem) return KeyDiffers("key");
  if (there.proxy_public_key_pem != here.proxy_public_key_pem) return KeyDiffers("proxy key");
  if (there.tags != here.tags) return Differs("tags", EncodeVersions(there.tags), EncodeVersions(here.tags));
  return absl::OkStatus();
}

absl::Status Compare(const domain::Device& there, const domain::Device& here) {
  if (there.manufacturer != here.manufacturer)
    return Differs("manufacturer", there.manufacturer, here.manufacturer);
  if (there.model != here.model) return Differs("model", there.model, here.model);
  if (there.hardware_version != here.hardware_version) {
    return Differs("hardware_version", there.hardware_version, here.hardware_version);
  }
  if (there.app_id != here.app_id) return Differs("app_id", there.app_id, here.app_id);
  if (there.tags != here.tags) return Differs("tags", EncodeVersions(there.tags), EncodeVersions(here.tags));
  std::map<std::string, const domain::Component*> components;
  for (const domain::Component& component : there.components) components[component.ecu_serial] = &component;
  if (components.size() != here.components.size()) {
    return Differs("number of components", absl::StrCat(components.size()),
                   absl::StrCat(here.components.size()));
  }
  for (const domain::Component& component : here.components) {
    const auto found = components.find(component.ecu_serial);
    if (found == components.end()) {
      return Error(absl::StatusCode::kAlreadyExists, "DIFFERS",
                   absl::StrCat("It is there without a component ", component.ecu_serial, "."));
    }
    const domain::Component& own = *found->second;
    const std::string of = absl::StrCat(" of ", component.ecu_serial);
    if (own.hardware_id != component.hardware_id) {
      return Differs(absl::StrCat("hardware_id", of), own.hardware_id, component.hardware_id);
    }
    if (own.public_key_pem != component.public_key_pem) return KeyDiffers(absl::StrCat("key", of));
    if (own.factory_sha256 != component.factory_sha256) {
      return Differs(absl::StrCat("factory_sha256", of), own.factory_sha256, component.factory_sha256);
    }
  }
  return absl::OkStatus();
}

// One run of an import within a transaction. A transaction that is tried again gets a new one.
class Run {
 public:
  Run(db::Transaction& tx, const FleetPart& part) : tx_(tx), part_(part) {}

  ImportedPart Judge() {
    LoadThere();
    ImportedPart imported;
    for (const domain::Gateway& gateway : part_.gateways) imported.gateways.push_back(Judge(gateway));
    for (const domain::Device& device : part_.devices) imported.devices.push_back(Judge(device));
    return imported;
  }

  void Write(absl::FunctionRef<std::string(const domain::Component&)> encode_component) {
    WriteGateways();
    WriteDevices();
    DeletePending();
    WriteComponents(encode_component);
  }

 private:
  void LoadThere() {
    std::set<std::string> ids;
    for (const domain::Gateway& gateway : part_.gateways) ids.insert(gateway.id);
    std::vector<std::string> gateways, names, serials;
    for (const domain::Device& device : part_.devices) {
      ids.insert(device.gateway_id);
      gateways.push_back(device.gateway_id);
      names.push_back(device.id);
      for (const domain::Component& component : device.components) serials.push_back(component.ecu_serial);
    }
    const std::vector<std::string> all(ids.begin(), ids.end());
    // Whoever changes a gateway's components holds its row; in the order of the key.
    for (const pqxx::row& row : tx_.exec_params(
             absl::StrCat(
                 "SELECT ", kGatewayColumns,
                 " FROM gateways WHERE gateway_id = ANY($1::text[]) ORDER BY gateway_id FOR NO KEY UPDATE"),
             db::TextArray(all))) {
      domain::Gateway gateway = ReadGateway(row);
      gateways_.emplace(gateway.id, std::move(gateway));
    }
    std::vector<domain::Device> devices;
    for (const pqxx::row& row : tx_.exec_params(
             absl::StrCat(
                 "SELECT DISTINCT ON (gateway_id, device_id) ", kDeviceColumns,
                 " FROM unnest($1::text[], $2::text[]) AS n (gateway_id, device_id) JOIN devices USING "
                 "(gateway_id, device_id)"),
             db::TextArray(gateways), db::TextArray(names))) {
      devices.push_back(ReadDevice(row));
    }
    LoadComponents(tx_, absl::MakeSpan(devices));
    for (domain::Device& device : devices)
      devices_.emplace(Name(device.gateway_id, device.id), std::move(device));
    for (const pqxx::row& row :
         tx_.exec_params("SELECT ecu_serial, gateway_id FROM serials WHERE ecu_serial = ANY($1::text[])",
                         db::TextArray(serials))) {
      serials_.emplace(db::TextOf(row[0]), db::TextOf(row[1]));
    }
  }

  static Imported Refused(absl::Status problem) { return {Imported::Result::kRefused, std::move(problem)}; }
  static Imported Same(absl::Status difference) {
    if (!difference.ok()) return Refused(std::move(difference));
    return {Imported::Result::kUnchanged, absl::OkStatus()};
  }

  Imported Judge(const domain::Gateway& gateway) {
    const auto [there, created] = gateways_.try_emplace(gateway.id, gateway);
    if (!created) return Same(Compare(there->second, gateway));
    new_gateways_.push_back(&gateway);
    return {Imported::Result::kCreated, absl::OkStatus()};
  }

  Imported Judge(const domain::Device& device) {
    const auto gateway = gateways_.find(device.gateway_id);
    if (gateway == gateways_.end()) {
      return Refused(Error(absl::StatusCode::kNotFound, "GATEWAY_UNKNOWN",
                           absl::StrCat("Gateway \"", device.gateway_id,
                                        "\" is neither provisioned nor in the import before it.")));
    }
    const Name name(device.gateway_id, device.id);
    if (const auto there = devices_.find(name); there != devices_.end())
      return Same(Compare(there->second, device));
    if (absl::Status apart = domain::CheckKeysApart(gateway->second, device); !apart.ok())
      return Refused(apart);
    for (const domain::Component& component : device.components) {
      if (const auto taken = serials_.find(component.ecu_serial); taken != serials_.end()) {
        return Refused(
            Error(absl::StatusCode::kAlreadyExists, "ECU_SERIAL_TAKEN",
                  absl::StrCat("Serial number \"", component.ecu_serial, "\" is taken, behind gateway \"",
                               taken->second, "\": serial numbers are unique in the fleet.")));
      }
    }
    for (const domain::Component& component : device.components) {
      serials_.emplace(component.ecu_serial, device.gateway_id);
    }
    devices_.emplace(name, device);
    new_devices_.push_back(&device);
    return {Imported::Result::kCreated, absl::OkStatus()};
  }

  void WriteGateways() {
    if (new_gateways_.empty()) return;
    std::vector<std::string> ids, names, keys, proxy_keys, tags;
    std::vector<int32_t> kinds;
    std::vector<absl::Time> times;
    for (const domain::Gateway* gateway : new_gateways_) {
      ids.push_back(gateway->id);
      kinds.push_back(static_cast<int32_t>(gateway->kind));
      names.push_back(gateway->display_name);
      keys.push_back(gateway->public_key_pem);
      proxy_keys.push_back(gateway->proxy_public_key_pem);
      times.push_back(gateway->create_time);
      tags.push_back(EncodeVersions(gateway->tags));
    }
    tx_.exec_params(kInsertGateways, db::TextArray(ids), db::IntegerArray(kinds), db::TextArray(names),
                    db::TextArray(keys), db::TextArray(proxy_keys), db::TimestampArray(times),
                    db::TextArray(tags));
  }

  void WriteDevices() {
    if (new_devices_.empty()) return;
    std::vector<std::string> gateways, ids, manufacturers, models, hardware, app_ids, findings, tags;
    std::vector<int32_t> statuses;
    std::vector<absl::Time> times;
    for (const domain::Device* device : new_devices_) {
      gateways.push_back(device->gateway_id);
      ids.push_back(device->id);
      manufacturers.push_back(device->manufacturer);
      models.push_back(device->model);
      hardware.push_back(device->hardware_version);
      app_ids.push_back(device->app_id);
      statuses.push_back(static_cast<int32_t>(device->app_id_status));
      times.push_back(device->create_time);
      findings.push_back(EncodeFindings(device->app_id_findings));
      tags.push_back(EncodeVersions(device->tags));
    }
    tx_.exec_params(kInsertDevices, db::TextArray(gateways), db::TextArray(ids), db::TextArray(manufacturers),
                    db::TextArray(models), db::TextArray(hardware), db::TextArray(app_ids),
                    db::IntegerArray(statuses), db::TimestampArray(times), db::TextArray(findings),
                    db::TextArray(tags));
  }

  // Who is provisioned awaits no enrolment.
  void DeletePending() {
    std::vector<std::string> gateways, ids;
    for (const domain::Device* device : new_devices_) {
      gateways.push_back(device->gateway_id);
      ids.push_back(device->id);
    }
    tx_.exec_params(kDeletePending, db::TextArray(gateways), db::TextArray(ids));
  }

  void WriteComponents(absl::FunctionRef<std::string(const domain::Component&)> encode_component) {
    if (new_devices_.empty()) return;
    std::vector<std::string> gateways, serials, devices, hardware, keys, manufacturers, models, factory, tags;
    std::vector<int32_t> states;
    std::vector<feed::NewEvent> events;
    for (const domain::Device* device : new_devices_) {
      for (domain::Component component : device->components) {
        component.tags = domain::ComponentTags(gateways_.at(device->gateway_id).tags, device->tags);
        gateways.push_back(component.gateway_id);
        serials.push_back(component.ecu_serial);
        devices.push_back(component.device_id);
        hardware.push_back(component.hardware_id);
        keys.push_back(component.public_key_pem);
        manufacturers.push_back(component.manufacturer);
        models.push_back(component.model);
        states.push_back(static_cast<int32_t>(component.status.state));
        factory.push_back(component.factory_sha256);
        tags.push_back(EncodeVersions(component.tags));
        events.push_back({kComponentChanged,
                          domain::ComponentName(component.gateway_id, component.ecu_serial),
                          encode_component(component)});
      }
    }
    tx_.exec_params(kInsertSerials, db::TextArray(serials), db::TextArray(gateways));
    tx_.exec_params(kInsertComponents, db::TextArray(gateways), db::TextArray(serials),
                    db::TextArray(devices), db::TextArray(hardware), db::TextArray(keys),
                    db::TextArray(manufacturers), db::TextArray(models), db::IntegerArray(states),
                    db::TextArray(factory), db::TextArray(tags));
    feed::Append(tx_, events);
  }

  db::Transaction& tx_;
  const FleetPart& part_;
  // What is there, and what this run creates.
  std::map<std::string, domain::Gateway> gateways_;
  std::map<Name, domain::Device> devices_;
  std::map<std::string, std::string> serials_;  // to gateway
  std::vector<const domain::Gateway*> new_gateways_;
  std::vector<const domain::Device*> new_devices_;
};

}  // namespace

absl::StatusOr<ImportedPart> FleetImport::Take(
    const FleetPart& part, bool dry_run,
    absl::FunctionRef<std::string(const domain::Component&)> encode_component) {
  return database_.RunInTransaction("ImportFleet", [&](db::Transaction& tx) -> absl::StatusOr<ImportedPart> {
    Run run(tx, part);
    ImportedPart imported = run.Judge();
    if (!dry_run) run.Write(encode_component);
    return imported;
  });
}

absl::StatusOr<std::vector<bool>> FleetImport::FindNew(const std::vector<domain::Device>& devices) {
  return database_.Read("FindNewDevices", [&](db::Reader& reader) -> absl::StatusOr<std::vector<bool>> {
    std::vector<std::string> gateways, names;
    for (const domain::Device& device : devices) {
      gateways.push_back(device.gateway_id);
      names.push_back(device.id);
    }
    std::vector<bool> found(devices.size(), true);
    for (const pqxx::row& row : reader.exec_params(
             "SELECT n FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS r (gateway_id, device_id, n) "
             "JOIN devices USING (gateway_id, device_id)",
             db::TextArray(gateways), db::TextArray(names))) {
      found[row[0].as<size_t>() - 1] = false;
    }
    return found;
  });
}

}  // namespace countersign::inventory
