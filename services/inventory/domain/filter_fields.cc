#include "services/inventory/domain/filter_fields.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace countersign::inventory::domain {
namespace {

constexpr EnumValue kKinds[] = {{"HOME", 1}, {"VEHICLE", 2}};
constexpr EnumValue kStates[] = {{"UNVERIFIED", 1}, {"VERIFIED", 2},          {"PROXIED", 3},
                                 {"MODIFIED", 4},   {"COMPROMISED", 5},       {"QUARANTINED", 6},
                                 {"RETIRED", 7},    {"AWAITING_ENROLMENT", 8}};
constexpr EnumValue kAppIdStatuses[] = {
    {"NONE", 0}, {"REGISTERED", 1}, {"NOT_REGISTERED", 2}, {"NOT_IN_FORCE", 3}};
constexpr EnumValue kVerdicts[] = {{"NOT_COMPARED", 0}, {"PUBLISHED", 1}, {"FACTORY", 2},
                                   {"UNKNOWN", 3},      {"DIFFERS", 4},   {"REVOKED", 5}};

// By the number of the field.
constexpr FieldInfo kFields[] = {
    {Field::kGateway, FieldType::kText, "gateway", "", "", {}},
    {Field::kKind, FieldType::kEnum, "kind", "", "KIND_", kKinds},
    {Field::kDisplayName, FieldType::kText, "display_name", "", "", {}},
    {Field::kLastManifestTime, FieldType::kTime, "last_manifest_time", "last_seen", "", {}},
    {Field::kDevice, FieldType::kText, "device", "", "", {}},
    {Field::kManufacturer, FieldType::kText, "manufacturer", "", "", {}},
    {Field::kModel, FieldType::kText, "model", "", "", {}},
    {Field::kHardwareVersion, FieldType::kText, "hardware_version", "", "", {}},
    {Field::kAppId, FieldType::kText, "app_id", "", "", {}},
    {Field::kAppIdStatus, FieldType::kEnum, "app_id_status", "", "APP_ID_STATUS_", kAppIdStatuses},
    {Field::kCreateTime, FieldType::kTime, "create_time", "", "", {}},
    {Field::kEcuSerial, FieldType::kText, "ecu_serial", "serial", "", {}},
    {Field::kHardwareId, FieldType::kText, "hardware_id", "hardware", "", {}},
    {Field::kConstrained, FieldType::kFlag, "constrained", "", "", {}},
    {Field::kState, FieldType::kEnum, "state", "", "STATE_", kStates},
    {Field::kStateReason, FieldType::kText, "state_reason", "reason", "", {}},
    {Field::kImageVerdict, FieldType::kEnum, "image_verdict", "verdict", "IMAGE_VERDICT_", kVerdicts},
    {Field::kVersion, FieldType::kVersion, "version", "", "", {}},
    {Field::kSha256, FieldType::kText, "sha256", "digest", "", {}},
    {Field::kTargetPath, FieldType::kText, "target_path", "", "", {}},
    {Field::kReleaseCounter, FieldType::kNumber, "release_counter", "", "", {}},
    {Field::kReportTime, FieldType::kTime, "report_time", "last_report", "", {}},
    {Field::kFirstReportTime, FieldType::kTime, "first_report_time", "", "", {}},
    {Field::kRefusedReports, FieldType::kNumber, "refused_reports", "", "", {}},
    {Field::kFailureCount, FieldType::kNumber, "failure_count", "failures", "", {}},
    {Field::kAttacksDetected, FieldType::kText, "attacks_detected", "attacks", "", {}},
    {Field::kApprovalResult, FieldType::kText, "approval_result", "", "", {}},
    {Field::kStopped, FieldType::kFlag, "stopped", "", "", {}},
    {Field::kTags, FieldType::kTags, "tags", "", "", {}},
};

constexpr Field kGatewayFields[] = {Field::kGateway,          Field::kKind,       Field::kDisplayName,
                                    Field::kLastManifestTime, Field::kCreateTime, Field::kTags};
constexpr Field kDeviceFields[] = {Field::kGateway,     Field::kDevice,          Field::kManufacturer,
                                   Field::kModel,       Field::kHardwareVersion, Field::kAppId,
                                   Field::kAppIdStatus, Field::kCreateTime,      Field::kTags,
                                   Field::kKind,        Field::kLastManifestTime};
constexpr Field kComponentFields[] = {Field::kGateway,
                                      Field::kDevice,
                                      Field::kEcuSerial,
                                      Field::kManufacturer,
                                      Field::kModel,
                                      Field::kHardwareId,
                                      Field::kVersion,
                                      Field::kState,
                                      Field::kStateReason,
                                      Field::kImageVerdict,
                                      Field::kSha256,
                                      Field::kTargetPath,
                                      Field::kReleaseCounter,
                                      Field::kReportTime,
                                      Field::kFirstReportTime,
                                      Field::kRefusedReports,
                                      Field::kFailureCount,
                                      Field::kAttacksDetected,
                                      Field::kApprovalResult,
                                      Field::kStopped,
                                      Field::kConstrained,
                                      Field::kTags,
                                      Field::kKind,
                                      Field::kLastManifestTime,
                                      Field::kHardwareVersion,
                                      Field::kAppId,
                                      Field::kAppIdStatus,
                                      Field::kCreateTime};

constexpr Field kSearchedInGateways[] = {Field::kGateway};
constexpr Field kSearchedInDevices[] = {Field::kGateway, Field::kDevice, Field::kManufacturer, Field::kModel};
constexpr Field kSearchedInComponents[] = {Field::kGateway,      Field::kDevice, Field::kEcuSerial,
                                           Field::kManufacturer, Field::kModel,  Field::kHardwareId,
                                           Field::kSha256};
constexpr Field kGroups[] = {Field::kManufacturer, Field::kModel,        Field::kHardwareId,
                             Field::kVersion,      Field::kState,        Field::kStateReason,
                             Field::kImageVerdict, Field::kFailureCount, Field::kApprovalResult,
                             Field::kConstrained,  Field::kKind,         Field::kAppIdStatus,
                             Field::kGateway,      Field::kSha256};

}  // namespace

const FieldInfo& InfoOf(Field field) { return kFields[static_cast<int>(field)]; }

absl::Span<const Field> FieldsOf(Resource resource) {
  switch (resource) {
    case Resource::kGateway:
      return kGatewayFields;
    case Resource::kDevice:
      return kDeviceFields;
    case Resource::kComponent:
      return kComponentFields;
  }
  return {};
}

const FieldInfo* FindField(Resource resource, absl::string_view name) {
  for (const Field field : FieldsOf(resource)) {
    const FieldInfo& info = InfoOf(field);
    if (info.name == name || (!info.alias.empty() && info.alias == name)) return &info;
  }
  return nullptr;
}

std::string FieldNames(Resource resource) {
  return absl::StrJoin(FieldsOf(resource), ", ", [](std::string* out, Field field) {
    const FieldInfo& info = InfoOf(field);
    absl::StrAppend(out, info.name);
    if (!info.alias.empty()) absl::StrAppend(out, " (", info.alias, ")");
  });
}

absl::Span<const Field> SearchedFields(Resource resource) {
  switch (resource) {
    case Resource::kGateway:
      return kSearchedInGateways;
    case Resource::kDevice:
      return kSearchedInDevices;
    case Resource::kComponent:
      return kSearchedInComponents;
  }
  return {};
}

absl::Span<const Field> GroupFields() { return kGroups; }

std::string EnumName(const FieldInfo& info, int64_t number) {
  for (const EnumValue& value : info.values) {
    if (value.number == number) return std::string(value.name);
  }
  return absl::StrCat(number);
}

}  // namespace countersign::inventory::domain
