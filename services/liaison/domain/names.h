// Resource names and identifiers of liaison.
#ifndef COUNTERSIGN_SERVICES_LIAISON_DOMAIN_NAMES_H_
#define COUNTERSIGN_SERVICES_LIAISON_DOMAIN_NAMES_H_

#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace countersign::liaison::domain {

// "acme" of "manufacturers/acme"; `[a-z0-9][a-z0-9-]{0,62}`. INVALID_ARGUMENT (NAME_INVALID).
absl::StatusOr<std::string> ParseManufacturerName(absl::string_view name);

// As above, or "" of "manufacturers/-".
absl::StatusOr<std::string> ParseParent(absl::string_view name);

struct ReleaseName {
  std::string manufacturer;
  std::string release_id;
};

// {"acme", "lamp-2.0"} of "manufacturers/acme/releases/lamp-2.0". INVALID_ARGUMENT (NAME_INVALID).
absl::StatusOr<ReleaseName> ParseReleaseName(absl::string_view name);

// Whether `id` is a release's id: `[a-z0-9][a-z0-9.-]{0,62}`.
bool IsReleaseId(absl::string_view id);

std::string FormatManufacturerName(absl::string_view manufacturer);
std::string FormatReleaseName(absl::string_view manufacturer, absl::string_view release_id);
std::string FormatNoticeName(absl::string_view manufacturer, absl::string_view notice_id);

}  // namespace countersign::liaison::domain

#endif  // COUNTERSIGN_SERVICES_LIAISON_DOMAIN_NAMES_H_
