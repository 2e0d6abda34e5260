#include "common/trust/report.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/macros.h"
#include "common/trust/flat_fields.h"
#include "common/trust/flat_json.h"
#include "common/trust/json_fields.h"
#include "common/trust/reasons.h"
#include "nlohmann/json.hpp"

namespace countersign::trust {

using nlohmann::json;

namespace {

constexpr size_t kMaxAttackText = 1024;
constexpr size_t kMaxSoftwareVersions = 32;
constexpr size_t kMaxSerial = 64;
constexpr int kMaxDepth = 16;
// A report has some 30 values; this leaves room for software_versions and for fields to come.
constexpr size_t kValuesPerReport = 128;

// A part of what is read, and what it is called in messages.
JsonFields PartOf(JsonFields&, const json& part, absl::string_view where) { return JsonFields(part, where); }
FlatFields PartOf(FlatFields&, const FlatJson::Value& part, absl::string_view) { return FlatFields(part); }
void Merge(JsonFields& fields, const JsonFields& part) { fields.Merge(part.status()); }
void Merge(FlatFields& fields, const FlatFields& part) {
  if (!part.ok()) fields.Fail();
}
void FailFor(JsonFields& fields, absl::string_view message) { fields.Fail(message); }
void FailFor(FlatFields& fields, absl::string_view) { fields.Fail(); }

std::vector<std::string> NamesIn(const json& object) {
  std::vector<std::string> names;
  for (const auto& [name, value] : object.items()) names.push_back(name);
  return names;
}
std::vector<std::string> NamesIn(const FlatJson::Value& object) {
  std::vector<std::string> names;
  for (const FlatJson::Value& member : object.children()) names.push_back(std::string(member.key()));
  return names;
}

// With JsonFields, which say what is wrong, or with FlatFields, which are fast: the same is accepted.
template <typename Fields>
VersionReport ReadReport(Fields& fields) {
  VersionReport report;
  report.ecu_serial = fields.NonEmptyString("ecu_serial");
  report.hardware_id = fields.NonEmptyString("hardware_id");
  report.manufacturer = fields.String("manufacturer");
  report.model = fields.String("model");
  Fields image = PartOf(fields, fields.Object("installed_image"), "the version report's installed_image");
  report.filepath = image.String("filepath", 512);
  Fields info = PartOf(fields, image.Object("fileinfo"), "the version report's fileinfo");
  report.length = info.Integer("length");
  Fields hashes = PartOf(fields, info.Object("hashes"), "the version report's hashes");
  report.sha256 = hashes.Sha256("sha256");
  report.version = fields.String("version");
  if (fields.Has("software_versions")) {
    const auto& versions = fields.Object("software_versions");
    const std::vector<std::string> names = NamesIn(versions);
    if (names.size() > kMaxSoftwareVersions) {
      FailFor(fields, absl::StrCat("has more than ", kMaxSoftwareVersions, " software_versions"));
    } else {
      Fields part = PartOf(fields, versions, "the version report's software_versions");
      for (const std::string& name : names) {
        if (name.size() > JsonFields::kMaxString) FailFor(part, "has a name that is too long");
        report.software_versions[name] = part.String(name.c_str());
      }
      Merge(fields, part);
    }
  }
  if (fields.Has("release_counter")) report.release_counter = fields.Integer("release_counter");
  report.report_counter = fields.Integer("report_counter", 1);
  report.nonce = fields.String("nonce");
  report.attacks_detected = fields.String("attacks_detected", kMaxAttackText);
  if (fields.Has("proxied")) report.proxied = fields.Bool("proxied");
  if (fields.Has("approval_result")) report.approval_result = fields.String("approval_result");
  if (fields.Has("approval_override")) report.approval_override = fields.Bool("approval_override");
  if (fields.Has("quarantined")) report.quarantined = fields.Bool("quarantined");
  for (const Fields* part : {&image, &info, &hashes}) Merge(fields, *part);
  return report;
}

}  // namespace

absl::StatusOr<VersionReport> VersionReport::Parse(const Envelope& envelope) {
  if (envelope.flat().has_value() && envelope.type() == kType) {
    FlatFields fields(*envelope.flat());
    VersionReport report = ReadReport(fields);
    if (fields.ok()) return report;
  }
  JsonFields fields(envelope.content(), "the version report");
  if (envelope.type() != kType) fields.Fail(absl::StrCat("is of type ", envelope.type()));
  VersionReport report = ReadReport(fields);
  RETURN_IF_ERROR(fields.status());
  return report;
}

Envelope VersionReport::ToEnvelope() const {
  json content = {
      {"_type", kType},
      {"ecu_serial", ecu_serial},
      {"hardware_id", hardware_id},
      {"manufacturer", manufacturer},
      {"model", model},
      {"installed_image",
       {{"filepath", filepath}, {"fileinfo", {{"length", length}, {"hashes", {{"sha256", sha256}}}}}}},
      {"version", version},
      {"release_counter", release_counter},
      {"report_counter", report_counter},
      {"nonce", nonce},
      {"attacks_detected", attacks_detected},
      {"proxied", proxied}};
  if (!software_versions.empty()) content["software_versions"] = software_versions;
  if (!approval_result.empty()) content["approval_result"] = approval_result;
  if (approval_override) content["approval_override"] = true;
  if (quarantined) content["quarantined"] = true;
  return Envelope::Unsigned(std::move(content));
}

namespace {

constexpr size_t kMaxIncidentDetail = 512;

Incident ReadIncident(const json& object, JsonFields& parent) {
  JsonFields fields(object, "an incident of the gateway manifest");
  Incident incident;
  incident.reason = fields.NonEmptyString("reason");
  if (fields.Has("device_id")) incident.device_id = fields.String("device_id");
  if (fields.Has("ecu_serial")) incident.ecu_serial = fields.String("ecu_serial");
  if (fields.Has("detail")) incident.detail = fields.String("detail", kMaxIncidentDetail);
  incident.count = fields.Integer("count", 1);
  parent.Merge(fields.status());
  return incident;
}

json WriteIncident(const Incident& incident) {
  json object = {{"reason", incident.reason}, {"count", incident.count}};
  if (!incident.device_id.empty()) object["device_id"] = incident.device_id;
  if (!incident.ecu_serial.empty()) object["ecu_serial"] = incident.ecu_serial;
  if (!incident.detail.empty()) object["detail"] = incident.detail;
  return object;
}

// A manifest without incidents and of the right form, which is nearly every one; the others are read as JSON.
std::optional<GatewayManifest> ParseFlat(const Envelope& envelope, const ManifestLimits& limits) {
  if (!envelope.flat().has_value() || envelope.type() != GatewayManifest::kType) return std::nullopt;
  FlatFields fields(*envelope.flat());
  GatewayManifest manifest;
  manifest.gateway_id = fields.NonEmptyString("gateway_id");
  manifest.nonce = fields.String("nonce");
  manifest.manifest_counter = fields.Integer("manifest_counter", 1);
  manifest.time = fields.Time("time");
  const std::vector<FlatJson::Value> reports = fields.Array("reports").children();
  if (!fields.ok() || fields.Has("incidents") || reports.size() > limits.max_reports) return std::nullopt;
  manifest.reports.reserve(reports.size());
  for (const FlatJson::Value& report : reports) {
    manifest.reports.push_back(Envelope::FromFlat(envelope.document(), report));
  }
  return manifest;
}

}  // namespace

absl::StatusOr<GatewayManifest> GatewayManifest::Parse(const Envelope& envelope,
                                                       const ManifestLimits& limits) {
  if (std::optional<GatewayManifest> manifest = ParseFlat(envelope, limits)) return *std::move(manifest);
  JsonFields fields(envelope.content(), "the gateway manifest");
  if (envelope.type() != kType) fields.Fail(absl::StrCat("is of type ", envelope.type()));
  GatewayManifest manifest;
  manifest.gateway_id = fields.NonEmptyString("gateway_id");
  manifest.nonce = fields.String("nonce");
  manifest.manifest_counter = fields.Integer("manifest_counter", 1);
  manifest.time = fields.Time("time");
  if (fields.Has("incidents")) {
    const json& incidents = fields.Array("incidents");
    if (incidents.size() > kMaxIncidents) fields.Fail("has too many incidents");
    for (const json& incident : incidents) {
      if (!fields.ok()) break;
      manifest.incidents.push_back(ReadIncident(incident, fields));
    }
  }
  const json& reports = fields.Array("reports");
  RETURN_IF_ERROR(fields.status());
  if (reports.size() > limits.max_reports) {
    return Refuse(kLimitExceeded, absl::StrCat("the manifest has ", reports.size(), " reports; ",
                                               limits.max_reports, " are allowed"));
  }
  manifest.reports.reserve(reports.size());
  for (const json& report : reports) manifest.reports.push_back(Envelope::FromJson(report));
  return manifest;
}

Envelope GatewayManifest::ToEnvelope() const {
  json list = json::array();
  for (const absl::StatusOr<Envelope>& report : reports) {
    if (report.ok()) list.push_back(report->ToJson());
  }
  json content = {{"_type", kType},          {"gateway_id", gateway_id},
                  {"nonce", nonce},          {"manifest_counter", manifest_counter},
                  {"time", FormatUtc(time)}, {"reports", std::move(list)}};
  if (!incidents.empty()) {
    json& written = content["incidents"] = json::array();
    for (const Incident& incident : incidents) written.push_back(WriteIncident(incident));
  }
  return Envelope::Unsigned(std::move(content));
}

std::string SerialIn(const Envelope& envelope) {
  std::string serial;
  if (envelope.flat().has_value()) {
    const std::optional<FlatJson::Value> found = envelope.flat()->Find("ecu_serial");
    serial = found.has_value() ? found->Text().value_or("") : "";
  } else if (const auto found = envelope.content().find("ecu_serial");
             found != envelope.content().end() && found->is_string()) {
    serial = found->get_ref<const std::string&>();
  }
  return serial.substr(0, kMaxSerial);
}

absl::StatusOr<Envelope> ParseManifestEnvelope(absl::string_view bytes, const ManifestLimits& limits) {
  return Envelope::Parse(bytes, {.max_bytes = limits.max_bytes,
                                 .max_depth = kMaxDepth,
                                 .max_values = kValuesPerReport * (limits.max_reports + 1)});
}

absl::StatusOr<VersionReport> VerifyReport(const Envelope& envelope, const ExpectedReporter& expected) {
  RETURN_IF_ERROR(envelope.VerifyBy(expected.key_id, expected.key));
  ASSIGN_OR_RETURN(VersionReport report, VersionReport::Parse(envelope));
  if (report.ecu_serial != expected.ecu_serial) {
    return Refuse(kWrongIdentity, absl::StrCat("the key of component ", expected.ecu_serial, " signed for ",
                                               report.ecu_serial));
  }
  if (report.proxied != expected.proxied) {
    return Refuse(kWrongIdentity,
                  absl::StrCat("component ", expected.ecu_serial, " is registered as one that ",
                               expected.proxied ? "its gateway signs for" : "signs for itself"));
  }
  if (report.nonce != expected.nonce) {
    return Refuse(kNonceMismatch, absl::StrCat("the report of component ", expected.ecu_serial,
                                               " does not answer this challenge"));
  }
  if (report.report_counter <= expected.last_report_counter) {
    return Refuse(kCounterNotRising,
                  absl::StrCat("report_counter ", report.report_counter, " of component ",
                               expected.ecu_serial, " must be above ", expected.last_report_counter));
  }
  return report;
}

absl::StatusOr<GatewayManifest> VerifyManifest(const Envelope& envelope, absl::string_view gateway_id,
                                               const crypto::PublicKey& key, absl::string_view nonce,
                                               int64_t last_manifest_counter, const ManifestLimits& limits) {
  RETURN_IF_ERROR(envelope.VerifyBy(key));
  ASSIGN_OR_RETURN(GatewayManifest manifest, GatewayManifest::Parse(envelope, limits));
  if (manifest.gateway_id != gateway_id) {
    return Refuse(kWrongIdentity,
                  absl::StrCat("gateway ", gateway_id, " speaks for gateway ", manifest.gateway_id));
  }
  if (manifest.nonce != nonce) return Refuse(kNonceMismatch, "the manifest does not answer this challenge");
  if (manifest.manifest_counter <= last_manifest_counter) {
    return Refuse(kCounterNotRising, absl::StrCat("manifest_counter ", manifest.manifest_counter,
                                                  " must be above ", last_manifest_counter));
  }
  return manifest;
}

}  // namespace countersign::trust
