#include "common/version/version.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/status/errors.h"

namespace countersign {
namespace {

constexpr size_t kMaxLength = 64;
constexpr size_t kMaxDigits = 18;  // fits in 64 bits
constexpr size_t kMaxKeyDigits = 50;

absl::Status Invalid(absl::string_view text, absl::string_view why) {
  return Error(absl::StatusCode::kInvalidArgument, "VERSION_INVALID",
               absl::StrCat("\"", absl::string_view(text.data(), std::min(text.size(), kMaxLength)),
                            "\" is not a version of the declared format: ", why, "."));
}

size_t SectionsOf(VersionFormat format) {
  switch (format) {
    case VersionFormat::kPair:
      return 2;
    case VersionFormat::kTriplet:
    case VersionFormat::kSemver:
      return 3;
    case VersionFormat::kQuad:
      return 4;
    case VersionFormat::kPlain:
    case VersionFormat::kNumber:
    case VersionFormat::kHex:
      return 1;
  }
  return 1;
}

absl::StatusOr<uint64_t> ParseHex(absl::string_view text, absl::string_view digits) {
  uint64_t number = 0;
  if (digits.empty() || digits.size() > 16 ||
      !std::all_of(digits.begin(), digits.end(), absl::ascii_isxdigit) ||
      !absl::SimpleHexAtoi(digits, &number)) {
    return Invalid(text, "it is no hexadecimal number of at most 64 bits");
  }
  return number;
}

// A packed 32-bit number as LVFS and fwupd cut it.
std::vector<uint64_t> Unpack(VersionFormat format, uint64_t number) {
  switch (format) {
    case VersionFormat::kPair:
      return {number >> 16, number & 0xffff};
    case VersionFormat::kTriplet:
      return {number >> 24, (number >> 16) & 0xff, number & 0xffff};
    case VersionFormat::kQuad:
      return {number >> 24, (number >> 16) & 0xff, (number >> 8) & 0xff, number & 0xff};
    default:
      return {number};
  }
}

bool IsPacked(VersionFormat format) {
  return format == VersionFormat::kPair || format == VersionFormat::kTriplet ||
         format == VersionFormat::kQuad;
}

// A number in a sort key: how many digits, then the digits, so that a longer number is higher. Higher than
// any end of the numbers.
void AppendNumber(absl::string_view digits, std::string& key) {
  key.push_back(static_cast<char>('B' + digits.size()));
  absl::StrAppend(&key, digits);
}

constexpr char kKeyLowest = 0x01;  // '~', lower than the end
constexpr char kKeyEnd = 0x02;
constexpr char kKeyNumbersEnd = 0x03;

int Rank(absl::string_view text, size_t at) {
  if (at >= text.size()) return 0;
  return text[at] == '~' ? -1 : static_cast<unsigned char>(text[at]);
}

}  // namespace

absl::StatusOr<VersionFormat> VersionFormatOf(int number) {
  if (number < 1 || number > 7) {
    return Error(absl::StatusCode::kInvalidArgument, "VERSION_FORMAT_UNKNOWN",
                 absl::StrCat("There is no version format ", number, "; see VersionFormat in update.proto."));
  }
  return static_cast<VersionFormat>(number);
}

std::strong_ordering operator<=>(const Version& a, const Version& b) {
  for (size_t i = 0; i < std::min(a.sections.size(), b.sections.size()); ++i) {
    if (a.sections[i] != b.sections[i]) return a.sections[i] <=> b.sections[i];
  }
  if (a.sections.size() != b.sections.size()) return a.sections.size() <=> b.sections.size();
  for (size_t i = 0; i < std::max(a.suffix.size(), b.suffix.size()); ++i) {
    const int left = Rank(a.suffix, i), right = Rank(b.suffix, i);
    if (left != right) return left <=> right;
  }
  return std::strong_ordering::equal;
}

absl::StatusOr<Version> ParseVersion(VersionFormat format, absl::string_view text) {
  if (text.empty()) return Invalid(text, "it is empty");
  if (text.size() > kMaxLength) return Invalid(text, "it is longer than 64 characters");
  for (const char c : text) {
    if (!absl::ascii_isgraph(c)) return Invalid(text, "it has characters that are not printable ASCII");
  }

  absl::string_view digits = text;
  const bool prefixed = absl::ConsumePrefix(&digits, "0x") || absl::ConsumePrefix(&digits, "0X");
  if (prefixed || format == VersionFormat::kHex) {
    absl::StatusOr<uint64_t> number = ParseHex(text, digits);
    if (!number.ok()) return number.status();
    if (!IsPacked(format)) return Version{{*number}, ""};
    if (*number > 0xffffffff) return Invalid(text, "it needs more than 32 bits");
    return Version{Unpack(format, *number), ""};
  }

  Version version;
  size_t at = 0;
  while (true) {
    size_t end = at;
    while (end < text.size() && absl::ascii_isdigit(text[end])) ++end;
    if (end == at) {
      if (version.sections.empty()) return Invalid(text, "it does not begin with a digit");
      --at;  // the dot belongs to the suffix
      break;
    }
    uint64_t section = 0;
    if (end - at > kMaxDigits || !absl::SimpleAtoi(text.substr(at, end - at), &section)) {
      return Invalid(text, "a section has more than 18 digits");
    }
    version.sections.push_back(section);
    at = end;
    if (at == text.size() || text[at] != '.') break;
    ++at;
  }
  version.suffix = std::string(text.substr(at));
  if (version.sections.size() > SectionsOf(format)) return Invalid(text, "it has too many sections");
  if (format == VersionFormat::kNumber && !version.suffix.empty()) return Invalid(text, "it is no number");
  if (IsPacked(format) && version.sections.size() == 1 && version.suffix.empty() &&
      version.sections[0] > 0xffff) {
    if (version.sections[0] > 0xffffffff) return Invalid(text, "it needs more than 32 bits");
    version.sections = Unpack(format, version.sections[0]);
  }
  return version;
}

std::optional<std::string> VersionSortKey(absl::string_view text) {
  for (const char c : text) {
    if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) return std::nullopt;
  }
  std::string key;
  absl::string_view rest = text;
  if (absl::ConsumePrefix(&rest, "0x") || absl::ConsumePrefix(&rest, "0X")) {
    const absl::StatusOr<uint64_t> number = ParseHex(text, rest);
    if (number.ok()) {
      AppendNumber(*number == 0 ? "" : absl::StrCat(*number), key);
      key += {kKeyNumbersEnd, kKeyEnd};
      return key;
    }
    rest = text;  // a 0 and a suffix
  }
  while (!rest.empty() && absl::ascii_isdigit(static_cast<unsigned char>(rest[0]))) {
    size_t end = 0;
    while (end < rest.size() && absl::ascii_isdigit(static_cast<unsigned char>(rest[end]))) ++end;
    absl::string_view digits = rest.substr(0, end);
    while (absl::ConsumePrefix(&digits, "0")) {
    }
    if (digits.size() > kMaxKeyDigits) return std::nullopt;
    AppendNumber(digits, key);
    rest.remove_prefix(end);
    // A dot before no number belongs to the suffix.
    if (rest.size() < 2 || rest[0] != '.' || !absl::ascii_isdigit(static_cast<unsigned char>(rest[1]))) break;
    rest.remove_prefix(1);
  }
  if (key.empty()) return std::nullopt;
  key.push_back(kKeyNumbersEnd);
  for (const char c : rest) key.push_back(c == '~' ? kKeyLowest : c);
  key.push_back(kKeyEnd);
  return key;
}

}  // namespace countersign
