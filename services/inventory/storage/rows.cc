#include "services/inventory/storage/rows.h"

#include <utility>

#include "nlohmann/json.hpp"

namespace countersign::inventory {

domain::Gateway ReadGateway(const pqxx::row& row) {
  domain::Gateway gateway;
  gateway.id = db::TextOf(row["gateway_id"]);
  gateway.kind = static_cast<domain::GatewayKind>(row["kind"].as<int>());
  gateway.display_name = db::TextOf(row["display_name"]);
  gateway.public_key_pem = db::TextOf(row["public_key_pem"]);
  gateway.proxy_public_key_pem = db::TextOf(row["proxy_public_key_pem"]);
  gateway.create_time = db::TimeOf(row["created_at"]);
  gateway.last_manifest_counter = row["last_manifest_counter"].as<int64_t>();
  gateway.last_manifest_time = db::NullableTimeOf(row["last_manifest_at"]);
  return gateway;
}

domain::Device ReadDevice(const pqxx::row& row) {
  domain::Device device;
  device.gateway_id = db::TextOf(row["gateway_id"]);
  device.id = db::TextOf(row["device_id"]);
  device.manufacturer = db::TextOf(row["manufacturer"]);
  device.model = db::TextOf(row["model"]);
  device.hardware_version = db::TextOf(row["hardware_version"]);
  device.app_id = db::TextOf(row["app_id"]);
  device.app_id_status = static_cast<domain::AppIdStatus>(row["app_id_status"].as<int>());
  device.create_time = db::TimeOf(row["created_at"]);
  return device;
}

// By position, in the order of kComponentColumns: a page has many rows, and a look-up by name is a search
// each.
domain::Component ReadComponent(const pqxx::row& row) {
  domain::Component component;
  component.gateway_id = db::TextOf(row[0]);
  component.ecu_serial = db::TextOf(row[1]);
  component.device_id = db::TextOf(row[2]);
  component.hardware_id = db::TextOf(row[3]);
  component.public_key_pem = db::TextOf(row[4]);
  component.constrained = component.public_key_pem.empty();
  component.manufacturer = db::TextOf(row[5]);
  component.model = db::TextOf(row[6]);
  domain::ComponentStatus& status = component.status;
  status.state = static_cast<domain::State>(row[7].as<int>());
  status.reason = db::TextOf(row[8]);
  if (!row[9].is_null()) {
    status.installed = domain::InstalledImage{db::TextOf(row[9]), row[10].as<int64_t>(), db::TextOf(row[11]),
                                              db::TextOf(row[12]), row[13].as<int64_t>()};
  }
  status.software_versions = DecodeVersions(db::TextOf(row[14]));
  status.report_counter = row[15].as<int64_t>();
  status.report_time = db::NullableTimeOf(row[16]);
  status.attacks_detected = db::TextOf(row[17]);
  status.refused_reports = row[18].as<int64_t>();
  return component;
}

std::string EncodeVersions(const std::map<std::string, std::string>& versions) {
  if (versions.empty()) return "{}";
  return nlohmann::json(versions).dump();
}

std::map<std::string, std::string> DecodeVersions(absl::string_view json) {
  std::map<std::string, std::string> versions;
  if (json == "{}") return versions;
  const nlohmann::json parsed =
      nlohmann::json::parse(json.begin(), json.end(), /*cb=*/nullptr, /*allow_exceptions=*/false);
  if (!parsed.is_object()) return versions;
  for (const auto& [name, version] : parsed.items()) {
    if (version.is_string()) versions.emplace(name, version.get<std::string>());
  }
  return versions;
}

}  // namespace countersign::inventory
