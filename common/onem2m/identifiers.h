#ifndef COUNTERSIGN_COMMON_ONEM2M_IDENTIFIERS_H_
#define COUNTERSIGN_COMMON_ONEM2M_IDENTIFIERS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

// oneM2M's identifiers of applications (TS-0001, 7.1.3 and table 7.2-1).
namespace countersign::onem2m {

// A well-formed App-ID.
struct AppId {
  std::string text;  // as it is registered: with an upper-case prefix
  // `R...`: given out by a registration authority, and so unique in the world. Otherwise `N...`: whatever its
  // maker liked, and in no registry.
  bool registered_form = false;
  // Written with `r`, which was allowed up to release 3 and is forbidden from release 4.
  bool lower_case_prefix = false;
  std::string authority;    // of `R{authority-id}.{reverse DNS}.{application}`; else empty
  std::string reverse_dns;  // "com.company"; else empty
  std::string application;  // else empty
};

// INVALID_ARGUMENT (APP_ID_MALFORMED) with what is wrong. At most 256 characters of RFC 3986's unreserved
// ones.
absl::StatusOr<AppId> ParseAppId(absl::string_view text);

// OK if `app_id` may be registered: INVALID_ARGUMENT (APP_ID_NOT_REGISTERABLE) for `N...`, and for `r...`,
// since what is given out today conforms to today's release.
absl::Status CheckRegisterable(const AppId& app_id);

// A well-formed AE-ID: `C...` (given by, and unique within, the registrar CSE) or `S...` (given by the
// service provider), alone, relative to the service provider (`/{CSE}/{Cstem}`, `/{Sstem}`), or absolute
// (`//{sp}/...`).
struct AeId {
  std::string service_provider;  // empty unless absolute
  std::string cse;               // empty unless it is part
  std::string stem;              // with its first character, C or S
};

// INVALID_ARGUMENT (AE_ID_MALFORMED) with what is wrong.
absl::StatusOr<AeId> ParseAeId(absl::string_view text);

// The authority id of an App-ID: 1 to 32 letters and digits.
bool IsAuthorityId(absl::string_view text);

// Whether `pattern` is an AE-ID-stem, or the beginning of one and a `*`.
bool IsStemPattern(absl::string_view pattern);
// Whether the stem of an AE-ID is one that `pattern` stands for.
bool StemMatches(absl::string_view pattern, absl::string_view stem);

}  // namespace countersign::onem2m

#endif  // COUNTERSIGN_COMMON_ONEM2M_IDENTIFIERS_H_
