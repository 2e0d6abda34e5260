#include "common/update/release_info.h"

#include <algorithm>
#include <set>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/crypto/digest.h"
#include "common/crypto/hex.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/trust/consent_record.h"
#include "common/trust/metadata.h"
#include "common/version/version.h"

namespace countersign::update {
namespace {

using common::v1::ReleaseInfo;

constexpr int kMaxListed = 64;
constexpr size_t kMaxName = 64;
constexpr size_t kMaxText = 2000;
constexpr size_t kMaxTargetPath = 256;
constexpr size_t kMaxTermsText = 65536;
constexpr int64_t kMaxImageBytes = int64_t{1} << 40;
constexpr int64_t kDaySeconds = 24 * 60 * 60;

absl::Status Invalid(absl::string_view field, absl::string_view wanted) {
  return Error(absl::StatusCode::kInvalidArgument, "RELEASE_INVALID",
               absl::StrCat("The release's ", field, " must be ", wanted, "."),
               {{"field", std::string(field)}});
}

absl::Status Untold(absl::string_view field, absl::string_view wanted) {
  return Error(absl::StatusCode::kInvalidArgument, "NOTICE_INCOMPLETE",
               absl::StrCat("The user would not be told all that must be told: the release's ", field,
                            " must be ", wanted, "."),
               {{"field", std::string(field)}});
}

// In characters, not bytes: texts are in any language.
size_t Characters(absl::string_view utf8) {
  return std::count_if(utf8.begin(), utf8.end(), [](char c) { return (c & 0xc0) != 0x80; });
}

bool IsText(absl::string_view text) {
  return !absl::StripAsciiWhitespace(text).empty() && Characters(text) <= kMaxText;
}

template <typename Strings>
absl::Status CheckNames(absl::string_view field, const Strings& names) {
  bool good = !names.empty() && names.size() <= kMaxListed;
  for (const std::string& name : names) good = good && IsPrintableAscii(name, kMaxName);
  if (good) return absl::OkStatus();
  return Invalid(
      field, absl::StrCat("1 to ", kMaxListed, " names of 1 to ", kMaxName, " printable ASCII characters"));
}

absl::Status CheckVersion(absl::string_view field, VersionFormat format, absl::string_view version) {
  if (!IsPrintableAscii(version, kMaxName)) return Invalid(field, "1 to 64 printable ASCII characters");
  const absl::Status parsed = ParseVersion(format, version).status();
  if (parsed.ok()) return absl::OkStatus();
  return Invalid(field, absl::StrCat("as version_format says: ", parsed.message()));
}

absl::Status CheckImage(const common::v1::Image& image) {
  if (image.target_path().size() > kMaxTargetPath || ComponentOf(image.target_path()).empty()) {
    return Invalid("image.target_path",
                   "<manufacturer>/<component>/<file>, at most 256 characters of [A-Za-z0-9._+~@-] and '/'");
  }
  if (image.length_bytes() < 1 || image.length_bytes() > kMaxImageBytes) {
    return Invalid("image.length_bytes", "1 to 2^40");
  }
  if (!crypto::IsSha256Hex(image.sha256())) {
    return Invalid("image.sha256", "64 lower-case hexadecimal digits");
  }
  return absl::OkStatus();
}

absl::Status CheckTerms(const common::v1::TermsOfUse& terms) {
  if (!IsPrintableAscii(terms.id(), kMaxName))
    return Invalid("terms.id", "1 to 64 printable ASCII characters");
  if (!IsPrintableAscii(terms.version(), kMaxName)) {
    return Invalid("terms.version", "1 to 64 printable ASCII characters");
  }
  if (!IsLanguageTag(terms.language())) return Invalid("terms.language", "a BCP 47 language tag, e.g. de-AT");
  if (!crypto::IsSha256Hex(terms.text_sha256())) {
    return Invalid("terms.text_sha256", "64 lower-case hexadecimal digits");
  }
  if (terms.text().size() > kMaxTermsText) return Invalid("terms.text", "at most 65,536 bytes");
  if (!terms.text().empty() && crypto::Sha256Hex(terms.text()) != terms.text_sha256()) {
    return Invalid("terms.text", "the text of which terms.text_sha256 is the SHA-256");
  }
  return absl::OkStatus();
}

absl::Status CheckNotice(const common::v1::UserNotice& notice, int index) {
  const std::string field = absl::StrCat("notices[", index, "].");
  const absl::string_view text = "1 to 2,000 characters";
  if (!IsLanguageTag(notice.language())) {
    return Untold(absl::StrCat(field, "language"), "a BCP 47 language tag, e.g. de-AT");
  }
  if (!IsText(notice.purpose())) return Untold(absl::StrCat(field, "purpose"), text);
  if (!IsText(notice.changes())) return Untold(absl::StrCat(field, "changes"), text);
  const auto& duration = notice.install_duration();
  const bool whole = duration.nanos() == 0;
  if (!whole || duration.seconds() < 1 || duration.seconds() > kDaySeconds) {
    return Untold(absl::StrCat(field, "install_duration"), "whole seconds, above zero and at most a day");
  }
  if (!IsText(notice.unavailable_functions())) {
    return Untold(absl::StrCat(field, "unavailable_functions"), text);
  }
  if (!IsText(notice.instructions())) return Untold(absl::StrCat(field, "instructions"), text);
  return absl::OkStatus();
}

bool ClosesWeaknesses(const ReleaseInfo& info) {
  return info.kind() == common::v1::UPDATE_KIND_SECURITY || info.kind() == common::v1::UPDATE_KIND_MIXED;
}

absl::Status CheckAdvisory(const common::v1::SecurityAdvisory& advisory) {
  bool good = !advisory.ids().empty() && advisory.ids_size() <= kMaxListed;
  for (const std::string& id : advisory.ids()) good = good && IsPrintableAscii(id, kMaxName);
  if (!good) return Untold("advisory.ids", "1 to 64 CVE or other public identifiers, for SECURITY and MIXED");
  if (!IsText(advisory.risk())) return Untold("advisory.risk", "1 to 2,000 characters");
  if (!IsText(advisory.action())) return Untold("advisory.action", "1 to 2,000 characters");
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckNotices(const ReleaseInfo& info) {
  if (info.kind() == common::v1::UPDATE_KIND_UNSPECIFIED || !common::v1::UpdateKind_IsValid(info.kind())) {
    return Untold("kind", "SECURITY, FUNCTIONALITY or MIXED");
  }
  if (info.criticality() == common::v1::CRITICALITY_UNSPECIFIED ||
      !common::v1::Criticality_IsValid(info.criticality())) {
    return Untold("criticality", "LOW, MEDIUM, HIGH or CRITICAL");
  }
  if (info.notices().empty() || info.notices_size() > kMaxListed) {
    return Untold("notices", "at least one and at most 64");
  }
  std::set<std::string> languages;
  for (int i = 0; i < info.notices_size(); ++i) {
    RETURN_IF_ERROR(CheckNotice(info.notices(i), i));
    if (!languages.insert(info.notices(i).language()).second) {
      return Untold(absl::StrCat("notices[", i, "].language"), "another than that of a notice before it");
    }
  }
  return ClosesWeaknesses(info) ? CheckAdvisory(info.advisory()) : absl::OkStatus();
}

absl::Status CheckReleaseInfo(const ReleaseInfo& info) {
  const absl::StatusOr<VersionFormat> format = VersionFormatOf(info.version_format());
  if (!format.ok()) return Invalid("version_format", "one of the formats of common/v1");
  RETURN_IF_ERROR(CheckVersion("version", *format, info.version()));
  if (info.release_counter() < 1 || info.release_counter() > trust::kMaxVersion) {
    return Invalid("release_counter", "1 to 2^31-1");
  }
  RETURN_IF_ERROR(CheckNames("models", info.models()));
  RETURN_IF_ERROR(CheckNames("hardware_ids", info.hardware_ids()));
  if (!info.has_image()) return Invalid("image", "given");
  RETURN_IF_ERROR(CheckImage(info.image()));
  RETURN_IF_ERROR(CheckNotices(info));
  if (info.kind() == common::v1::UPDATE_KIND_MIXED && !IsText(info.mixed_justification())) {
    return Invalid(
        "mixed_justification",
        "1 to 2,000 characters for UPDATE_KIND_MIXED: why security and functionality could not be kept "
        "apart");
  }
  if (Characters(info.mixed_justification()) > kMaxText) {
    return Invalid("mixed_justification", "at most 2,000 characters");
  }
  if (info.has_terms()) RETURN_IF_ERROR(CheckTerms(info.terms()));
  if (!info.minimum_installed_version().empty()) {
    RETURN_IF_ERROR(CheckVersion("minimum_installed_version", *format, info.minimum_installed_version()));
  }
  return absl::OkStatus();
}

std::string NoticeTextSha256(const common::v1::UserNotice& notice) {
  return trust::NoticeTextSha256(notice.purpose(), notice.changes(), notice.install_duration().seconds(),
                                 notice.unavailable_functions(), notice.instructions());
}

std::string ComponentOf(absl::string_view target_path) {
  const std::vector<absl::string_view> parts = absl::StrSplit(target_path, '/');
  if (parts.size() != 3 || !trust::IsTargetPath(target_path)) return "";
  return absl::StrCat(parts[0], "/", parts[1]);
}

bool IsPrintableAscii(absl::string_view text, size_t max_size) {
  return !text.empty() && text.size() <= max_size &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
}

bool IsLanguageTag(absl::string_view tag) {
  if (tag.size() > 35) return false;
  const std::vector<absl::string_view> subtags = absl::StrSplit(tag, '-');
  for (size_t i = 0; i < subtags.size(); ++i) {
    if (subtags[i].empty() || subtags[i].size() > 8) return false;
    const bool letters = std::all_of(subtags[i].begin(), subtags[i].end(), absl::ascii_isalpha);
    const bool alphanumeric = std::all_of(subtags[i].begin(), subtags[i].end(), absl::ascii_isalnum);
    if (i == 0 ? !letters || subtags[i].size() < 2 : !alphanumeric) return false;
  }
  return true;
}

}  // namespace countersign::update
