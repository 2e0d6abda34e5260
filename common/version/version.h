#ifndef COUNTERSIGN_COMMON_VERSION_VERSION_H_
#define COUNTERSIGN_COMMON_VERSION_VERSION_H_

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace countersign {

// How versions of a component are written; the numbers are those of countersign.common.v1.VersionFormat.
enum class VersionFormat {
  kPlain = 1,    // one section
  kNumber = 2,   // one decimal number
  kPair = 3,     // two sections
  kTriplet = 4,  // three
  kSemver = 5,   // three and an optional suffix
  kQuad = 6,     // four
  kHex = 7,      // one hexadecimal number, with or without "0x"
};

// The format with that number; INVALID_ARGUMENT (VERSION_FORMAT_UNKNOWN) if there is none.
absl::StatusOr<VersionFormat> VersionFormatOf(int number);

// A version as it is compared: sections as numbers, then the suffix.
struct Version {
  std::vector<uint64_t> sections;
  std::string suffix;

  // Section by section as numbers, fewer sections are lower; then the suffix character by character, where
  // '~' is lower than anything, also than the end: 2.0.0~rc1 < 2.0.0 < 2.0.0a.
  friend std::strong_ordering operator<=>(const Version& a, const Version& b);
  friend bool operator==(const Version& a, const Version& b) { return (a <=> b) == 0; }
};

// Reads `text`, at most 64 characters, as `format` writes versions. The same version may be written as one
// number in one place and in sections in another, so a hexadecimal number ("0x...") or one that needs more
// than 16 bits stands, in the formats pair, triplet and quad, for its 32 bits cut into sections of 16+16,
// 8+8+16 and 8+8+8+8 bits. INVALID_ARGUMENT (VERSION_INVALID) with what is wrong.
absl::StatusOr<Version> ParseVersion(VersionFormat format, absl::string_view text);

// The place of a version among all versions, whose order byte by byte is that of Version, for a database's
// index. The format is not known where a device says what it runs, so the version is taken as it is written:
// numbers between dots, however many, then the suffix; or one hexadecimal number of at most 64 bits behind
// "0x". A packed number is not cut into sections. 1.02 and 1.2 have one key. nullopt for what begins with no
// digit, has a number of more than 50 digits, or a control character: it has no place among versions.
// Printable but for 0x01 to 0x03. The inventory's migration has the same function in SQL, compared in its
// tests.
std::optional<std::string> VersionSortKey(absl::string_view text);

}  // namespace countersign

#endif  // COUNTERSIGN_COMMON_VERSION_VERSION_H_
