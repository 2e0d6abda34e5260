#include "services/liaison/domain/names.h"

#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/status/errors.h"

namespace countersign::liaison::domain {
namespace {

constexpr size_t kMaxIdSize = 63;

bool IsId(absl::string_view id, absl::string_view punctuation) {
  if (id.empty() || id.size() > kMaxIdSize) return false;
  for (size_t i = 0; i < id.size(); ++i) {
    const bool plain = absl::ascii_islower(id[i]) || absl::ascii_isdigit(id[i]);
    if (!plain && (i == 0 || punctuation.find(id[i]) == absl::string_view::npos)) return false;
  }
  return true;
}

bool IsManufacturerId(absl::string_view id) { return IsId(id, "-"); }

absl::Status BadName(absl::string_view name, absl::string_view pattern) {
  return Error(
      absl::StatusCode::kInvalidArgument, "NAME_INVALID",
      absl::StrCat("\"", absl::CHexEscape(name.substr(0, 200)), "\" is not a name of the form ", pattern));
}

}  // namespace

absl::StatusOr<std::string> ParseManufacturerName(absl::string_view name) {
  const std::vector<std::string> parts = absl::StrSplit(name, '/');
  if (parts.size() == 2 && parts[0] == "manufacturers" && IsManufacturerId(parts[1])) return parts[1];
  return BadName(name, "manufacturers/{manufacturer}");
}

absl::StatusOr<std::string> ParseParent(absl::string_view name) {
  if (name == "manufacturers/-") return "";
  return ParseManufacturerName(name);
}

absl::StatusOr<ReleaseName> ParseReleaseName(absl::string_view name) {
  const std::vector<std::string> parts = absl::StrSplit(name, '/');
  if (parts.size() == 4 && parts[0] == "manufacturers" && IsManufacturerId(parts[1]) &&
      parts[2] == "releases" && IsReleaseId(parts[3])) {
    return ReleaseName{parts[1], parts[3]};
  }
  return BadName(name, "manufacturers/{manufacturer}/releases/{release}");
}

bool IsReleaseId(absl::string_view id) { return IsId(id, "-."); }

std::string FormatManufacturerName(absl::string_view manufacturer) {
  return absl::StrCat("manufacturers/", manufacturer);
}

std::string FormatReleaseName(absl::string_view manufacturer, absl::string_view release_id) {
  return absl::StrCat("manufacturers/", manufacturer, "/releases/", release_id);
}

std::string FormatNoticeName(absl::string_view manufacturer, absl::string_view notice_id) {
  return absl::StrCat("manufacturers/", manufacturer, "/notices/", notice_id);
}

}  // namespace countersign::liaison::domain
