// What a request of oneM2M's HTTP binding (TS-0009) asks of the CSE. Pure.
#ifndef COUNTERSIGN_TOOLS_CSE_GUARD_EXAMINE_H_
#define COUNTERSIGN_TOOLS_CSE_GUARD_EXAMINE_H_

#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nlohmann/json_fwd.hpp"
#include "tools/cse_guard/http.h"
#include "tools/cse_guard/policy.h"

namespace countersign::cse_guard {

// oneM2M's resource types and response status codes that are named here.
inline constexpr int kTypeContainer = 3;
inline constexpr int kTypeAe = 2;
inline constexpr int kBadRequest = 4000;
inline constexpr int kUnsupportedMediaType = 4015;
inline constexpr int kOriginatorHasNoPrivilege = 4103;
inline constexpr int kAppRuleValidationFailed = 4126;
inline constexpr int kTargetNotReachable = 5103;

// Why a request goes no further, as oneM2M says it.
struct Refusal {
  int http_status = 400;
  int rsc = kBadRequest;
  std::string message;
};

// An AE that wants to register.
struct AeCreation {
  std::string app_id;      // `api`
  std::string ae_id;       // the originator; empty when the CSE is to give it one
  std::string data_model;  // `or`, its ontology; empty if there is none
};

struct Examined {
  std::optional<Refusal> refusal;  // then nothing else matters
  std::optional<AeCreation> ae;
  bool unreadable = false;  // the body was not looked into, as the policy allows
  int creates = 0;          // the resource type that it creates; 0 if none
  bool updates = false;
  std::string originator;  // X-M2M-Origin, as it was written
  // The body as it was read; null if there is none that can be read.
  std::shared_ptr<nlohmann::json> body;
};

// Refuses, beside what is not understood, what a CSE might understand as the creation of an <AE> otherwise
// than it was understood here:
// - `ty` in another form than `;ty=2`, a repeated header or parameter, a method in a header;
// - JSON with a key twice, a byte order mark, or too deep;
// - a request within a request (op 1 and ty 2, or an m2m:ae that is not the request's own content), as
// <action>,
//   <transactionMgmt> and notifications carry them;
// - an <AE> through a group's fan-out point; a change of an <AE>'s App-ID.
Examined Examine(const HttpRequest& request, const Policy& policy);

// JSON that every parser reads the same: ASCII only, and whatever could end a string, begin an escape or a
// comment (" \ / # ;) as \u00XX. INVALID_ARGUMENT for numbers that do not survive it.
absl::StatusOr<std::string> UnmistakableJson(const nlohmann::json& value);

// JSON as above: one value, no key twice, no byte order mark, at most 32 deep. INVALID_ARGUMENT.
absl::StatusOr<nlohmann::json> ParseUnmistakable(absl::string_view text);

}  // namespace countersign::cse_guard

#endif  // COUNTERSIGN_TOOLS_CSE_GUARD_EXAMINE_H_
