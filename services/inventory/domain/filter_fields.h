#ifndef COUNTERSIGN_SERVICES_INVENTORY_DOMAIN_FILTER_FIELDS_H_
#define COUNTERSIGN_SERVICES_INVENTORY_DOMAIN_FILTER_FIELDS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

// What filters, orders and counts can name.
namespace countersign::inventory::domain {

// What is listed.
enum class Resource { kGateway, kDevice, kComponent };

enum class Field {
  kGateway,
  kKind,
  kDisplayName,
  kLastManifestTime,
  kDevice,
  kManufacturer,
  kModel,
  kHardwareVersion,
  kAppId,
  kAppIdStatus,
  kCreateTime,
  kEcuSerial,
  kHardwareId,
  kConstrained,
  kState,
  kStateReason,
  kImageVerdict,
  kVersion,
  kSha256,
  kTargetPath,
  kReleaseCounter,
  kReportTime,
  kFirstReportTime,
  kRefusedReports,
  kFailureCount,
  kAttacksDetected,
  kApprovalResult,
  kStopped,
  kTags,
};

enum class FieldType {
  kText,     // compared byte by byte
  kVersion,  // ordered as common/version.h orders version keys
  kEnum,
  kNumber,
  kTime,
  kFlag,  // true or false
  kTags,  // names to values
};

// A value of an enum: its name in filters, and the number that is stored.
struct EnumValue {
  absl::string_view name;
  int64_t number;
};

struct FieldInfo {
  Field field;
  FieldType type;
  absl::string_view name;
  absl::string_view alias;   // a second name; may be empty
  absl::string_view prefix;  // that the API's names of an enum have, and filters may have
  absl::Span<const EnumValue> values;
};

const FieldInfo& InfoOf(Field field);

// The fields of a resource, in the order in which people see them.
absl::Span<const Field> FieldsOf(Resource resource);

// The field of that name or alias that the resource has, or null.
const FieldInfo* FindField(Resource resource, absl::string_view name);

// Names of the resource's fields, for people: "gateway, kind, ...".
std::string FieldNames(Resource resource);

// What a bare word is looked for in.
absl::Span<const Field> SearchedFields(Resource resource);

// The fields that components may be counted by.
absl::Span<const Field> GroupFields();

// Name of an enum's value, or its number when it has none.
std::string EnumName(const FieldInfo& info, int64_t number);

}  // namespace countersign::inventory::domain

#endif  // COUNTERSIGN_SERVICES_INVENTORY_DOMAIN_FILTER_FIELDS_H_
