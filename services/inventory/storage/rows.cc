#include "services/inventory/storage/rows.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
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
  gateway.tags = DecodeVersions(db::TextOf(row["tags"]));
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
  device.app_id_findings = DecodeFindings(db::TextOf(row["app_id_findings"]));
  device.tags = DecodeVersions(db::TextOf(row["tags"]));
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
  status.image_verdict = static_cast<domain::ImageVerdict>(row[19].as<int>());
  component.factory_sha256 = db::TextOf(row[20]);
  status.approval_result = db::TextOf(row[21]);
  status.approval_override = row[22].as<bool>();
  status.stopped = row[23].as<bool>();
  status.first_report_time = db::NullableTimeOf(row[24]);
  status.failure_count = row[25].as<int64_t>();
  status.last_errors = DecodeFailures(db::TextOf(row[26]));
  if (!row[27].is_null()) {
    status.quarantine = domain::Quarantine{db::TimeOf(row[27]), db::TextOf(row[28]), db::TextOf(row[29]),
                                           db::NullableTimeOf(row[30])};
  }
  component.tags = DecodeVersions(db::TextOf(row[31]));
  return component;
}

namespace {

nlohmann::json ParseArray(absl::string_view text) {
  nlohmann::json parsed =
      nlohmann::json::parse(text.begin(), text.end(), /*cb=*/nullptr, /*allow_exceptions=*/false);
  return parsed.is_array() ? parsed : nlohmann::json::array();
}

// What others wrote may hold bytes that are no UTF-8.
std::string Dump(const nlohmann::json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

std::string EncodeFailures(const std::vector<domain::UpdateFailure>& failures) {
  nlohmann::json array = nlohmann::json::array();
  for (const domain::UpdateFailure& failure : failures) {
    array.push_back({{"time", absl::ToUnixMicros(failure.time)},
                     {"phase", failure.phase},
                     {"reason", failure.reason},
                     {"detail", failure.detail},
                     {"version", failure.version},
                     {"rollout", failure.rollout}});
  }
  return Dump(array);
}

std::vector<domain::UpdateFailure> DecodeFailures(absl::string_view json) {
  std::vector<domain::UpdateFailure> failures;
  if (json == "[]") return failures;
  for (const nlohmann::json& entry : ParseArray(json)) {
    if (!entry.is_object()) continue;
    failures.push_back({absl::FromUnixMicros(entry.value("time", int64_t{0})), entry.value("phase", ""),
                        entry.value("reason", ""), entry.value("detail", ""), entry.value("version", ""),
                        entry.value("rollout", "")});
  }
  return failures;
}

std::string EncodeFindings(const std::vector<domain::AppIdFinding>& findings) {
  nlohmann::json array = nlohmann::json::array();
  for (const domain::AppIdFinding& finding : findings) {
    array.push_back({{"code", finding.code}, {"severity", finding.severity}, {"message", finding.message}});
  }
  return Dump(array);
}

std::vector<domain::AppIdFinding> DecodeFindings(absl::string_view json) {
  std::vector<domain::AppIdFinding> findings;
  if (json == "[]") return findings;
  for (const nlohmann::json& entry : ParseArray(json)) {
    if (!entry.is_object()) continue;
    findings.push_back({entry.value("code", ""), entry.value("severity", ""), entry.value("message", "")});
  }
  return findings;
}

void LoadComponents(db::Session& session, absl::Span<domain::Device> devices) {
  if (devices.empty()) return;
  std::vector<std::string> gateways;
  std::vector<std::string> names;
  std::map<std::pair<std::string, std::string>, domain::Device*> by_name;
  for (domain::Device& device : devices) {
    gateways.push_back(device.gateway_id);
    names.push_back(device.id);
    by_name[{device.gateway_id, device.id}] = &device;
  }
  const pqxx::result rows = session.exec_params(
      absl::StrCat("SELECT ", kComponentColumns,
                   " FROM unnest($1::text[], $2::text[]) AS d (gateway_id, device_id)"
                   " JOIN components c USING (gateway_id, device_id) ORDER BY c.gateway_id, c.ecu_serial"),
      db::TextArray(gateways), db::TextArray(names));
  for (const pqxx::row& row : rows) {
    domain::Component component = ReadComponent(row);
    domain::Device* device = by_name[{component.gateway_id, component.device_id}];
    device->components.push_back(std::move(component));
  }
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
