#include "services/package_store/domain/names.h"

#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/crypto/hex.h"
#include "common/status/errors.h"
#include "common/trust/metadata.h"

namespace countersign::package_store {
namespace {

constexpr size_t kMaxFileNameLength = 128;
constexpr size_t kMaxTargetPathLength = 256;
constexpr size_t kProposalIdDigits = 32;

absl::Status NameInvalid(absl::string_view what, absl::string_view wanted) {
  return Error(absl::StatusCode::kInvalidArgument, "NAME_INVALID",
               absl::StrCat("The ", what, " must be ", wanted, "."));
}

}  // namespace

absl::StatusOr<std::optional<std::string>> ParseManufacturerOrAll(absl::string_view name) {
  if (name == "manufacturers/-") return std::nullopt;
  auto manufacturer = ParseManufacturer(name);
  if (!manufacturer.ok()) return manufacturer.status();
  return std::optional<std::string>(*std::move(manufacturer));
}

absl::StatusOr<std::string> ParseManufacturer(absl::string_view name) {
  const std::vector<absl::string_view> parts = absl::StrSplit(name, '/');
  if (parts.size() != 2 || parts[0] != "manufacturers" || !IsManufacturerId(parts[1])) {
    return NameInvalid("parent", "manufacturers/{manufacturer}, with an id of [a-z0-9-]");
  }
  return std::string(parts[1]);
}

std::string ManufacturerName(absl::string_view manufacturer) {
  return absl::StrCat("manufacturers/", manufacturer);
}

absl::StatusOr<UploadName> ParseUploadName(absl::string_view name) {
  const std::vector<absl::string_view> parts = absl::StrSplit(name, '/');
  if (parts.size() != 4 || parts[0] != "manufacturers" || !IsManufacturerId(parts[1]) ||
      parts[2] != "uploads" || !crypto::IsSha256Hex(parts[3])) {
    return NameInvalid("upload's name",
                       "manufacturers/{manufacturer}/uploads/{sha256}, the digest in 64 "
                       "lower-case hexadecimal digits");
  }
  return UploadName{std::string(parts[1]), std::string(parts[3])};
}

std::string FormatUploadName(absl::string_view manufacturer, absl::string_view sha256) {
  return absl::StrCat("manufacturers/", manufacturer, "/uploads/", sha256);
}

absl::StatusOr<ProposalName> ParseProposalName(absl::string_view name) {
  const std::vector<absl::string_view> parts = absl::StrSplit(name, '/');
  if (parts.size() != 4 || parts[0] != "manufacturers" || !IsManufacturerId(parts[1]) ||
      parts[2] != "proposals" || !crypto::IsLowerHex(parts[3], kProposalIdDigits)) {
    return NameInvalid("proposal's name",
                       "manufacturers/{manufacturer}/proposals/{proposal}, as the store gave it");
  }
  return ProposalName{std::string(parts[1]), std::string(parts[3])};
}

std::string FormatProposalName(absl::string_view manufacturer, absl::string_view id) {
  return absl::StrCat("manufacturers/", manufacturer, "/proposals/", id);
}

absl::Status CheckMetadataFileName(absl::string_view file_name) {
  if (file_name == "timestamp.json") return absl::OkStatus();
  const std::vector<absl::string_view> parts = absl::StrSplit(file_name, '.');
  int64_t version = 0;
  if (file_name.size() > kMaxFileNameLength || parts.size() != 3 || parts[2] != "json" ||
      !trust::IsRoleName(parts[1]) || parts[0].empty() || parts[0].front() < '1' || parts[0].front() > '9' ||
      !absl::SimpleAtoi(parts[0], &version) || version > trust::kMaxVersion) {
    return NameInvalid("file name", "timestamp.json or <version>.<role>.json, e.g. 3.acme.json");
  }
  return absl::OkStatus();
}

absl::StatusOr<TargetPath> ParseTargetPath(absl::string_view path) {
  const std::vector<absl::string_view> parts = absl::StrSplit(path, '/');
  if (path.size() > kMaxTargetPathLength || !trust::IsTargetPath(path) || parts.size() != 3 ||
      !IsManufacturerId(parts[0])) {
    return NameInvalid(
        "target path",
        "<manufacturer>/<component>/<file>, at most 256 characters of [A-Za-z0-9._+~@-] and '/'");
  }
  return TargetPath{std::string(parts[0]), std::string(parts[1])};
}

absl::Status CheckSha256(absl::string_view sha256) {
  if (crypto::IsSha256Hex(sha256)) return absl::OkStatus();
  return NameInvalid("digest", "the image's SHA-256 in 64 lower-case hexadecimal digits");
}

}  // namespace countersign::package_store
