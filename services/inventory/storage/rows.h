#ifndef COUNTERSIGN_SERVICES_INVENTORY_STORAGE_ROWS_H_
#define COUNTERSIGN_SERVICES_INVENTORY_STORAGE_ROWS_H_

#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/db/sql.h"
#include "services/inventory/domain/component.h"

// Rows and the domain's values, both ways. Readers throw pqxx's exceptions, within a transaction or Read.
namespace countersign::inventory {

// The columns that ReadGateway, ReadDevice (without components) and ReadComponent read, by name.
inline constexpr char kGatewayColumns[] =
    "gateway_id, kind, display_name, public_key_pem, proxy_public_key_pem, created_at, "
    "last_manifest_counter, "
    "last_manifest_at, tags";
inline constexpr char kDeviceColumns[] =
    "gateway_id, device_id, manufacturer, model, hardware_version, app_id, app_id_status, created_at, "
    "app_id_findings, tags";
inline constexpr char kComponentColumns[] =
    "c.gateway_id, c.ecu_serial, c.device_id, c.hardware_id, c.public_key_pem, c.manufacturer, c.model, "
    "c.state, "
    "c.state_reason, c.image_path, c.image_length, c.image_sha256, c.image_version, c.image_release_counter, "
    "c.software_versions, c.report_counter, c.reported_at, c.attacks_detected, c.refused_reports, "
    "c.image_verdict, c.factory_sha256, c.approval_result, c.approval_override, c.stopped, "
    "c.first_reported_at, "
    "c.failure_count, c.last_errors, c.quarantine_ordered_at, c.quarantine_ordered_by, c.quarantine_reason, "
    "c.quarantine_confirmed_at, c.tags";

domain::Gateway ReadGateway(const pqxx::row& row);
domain::Device ReadDevice(const pqxx::row& row);
domain::Component ReadComponent(const pqxx::row& row);

// Adds their components to `devices`, which are of distinct names.
void LoadComponents(db::Session& session, absl::Span<domain::Device> devices);

// A flat JSON object.
std::string EncodeVersions(const std::map<std::string, std::string>& versions);
std::map<std::string, std::string> DecodeVersions(absl::string_view json);

// JSON arrays.
std::string EncodeFailures(const std::vector<domain::UpdateFailure>& failures);
std::vector<domain::UpdateFailure> DecodeFailures(absl::string_view json);
std::string EncodeFindings(const std::vector<domain::AppIdFinding>& findings);
std::vector<domain::AppIdFinding> DecodeFindings(absl::string_view json);

}  // namespace countersign::inventory

#endif  // COUNTERSIGN_SERVICES_INVENTORY_STORAGE_ROWS_H_
