#ifndef COUNTERSIGN_SERVICES_PACKAGE_STORE_DOMAIN_NAMES_H_
#define COUNTERSIGN_SERVICES_PACKAGE_STORE_DOMAIN_NAMES_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/trust/parties.h"

// Names of resources, of metadata files and of targets. What is malformed is INVALID_ARGUMENT (NAME_INVALID),
// with the form that is wanted.
namespace countersign::package_store {

using trust::IsManufacturerId;

// "manufacturers/{manufacturer}" -> the id.
absl::StatusOr<std::string> ParseManufacturer(absl::string_view name);
// The same, or "manufacturers/-" for all: nullopt.
absl::StatusOr<std::optional<std::string>> ParseManufacturerOrAll(absl::string_view name);
std::string ManufacturerName(absl::string_view manufacturer);

struct UploadName {
  std::string manufacturer;
  std::string sha256;
};
// "manufacturers/{manufacturer}/uploads/{sha256}".
absl::StatusOr<UploadName> ParseUploadName(absl::string_view name);
std::string FormatUploadName(absl::string_view manufacturer, absl::string_view sha256);

struct ProposalName {
  std::string manufacturer;
  std::string id;
};
// "manufacturers/{manufacturer}/proposals/{proposal}"; the id is 32 lower-case hex digits.
absl::StatusOr<ProposalName> ParseProposalName(absl::string_view name);
std::string FormatProposalName(absl::string_view manufacturer, absl::string_view id);

// OK for "timestamp.json" and "<version>.<role>.json": names that the repository could have. Nothing else is
// looked up.
absl::Status CheckMetadataFileName(absl::string_view file_name);

// Where a target stands: "<manufacturer>/<component>/<file>".
struct TargetPath {
  std::string manufacturer;
  std::string component;
};
absl::StatusOr<TargetPath> ParseTargetPath(absl::string_view path);

// OK for a digest as this product writes it.
absl::Status CheckSha256(absl::string_view sha256);

}  // namespace countersign::package_store

#endif  // COUNTERSIGN_SERVICES_PACKAGE_STORE_DOMAIN_NAMES_H_
