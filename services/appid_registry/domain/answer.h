#ifndef COUNTERSIGN_SERVICES_APPID_REGISTRY_DOMAIN_ANSWER_H_
#define COUNTERSIGN_SERVICES_APPID_REGISTRY_DOMAIN_ANSWER_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/crypto/signer.h"
#include "services/appid_registry/domain/identifiers.h"
#include "services/appid_registry/domain/profile.h"

// What the registry says about an identity that was presented. It informs, and does not decide (APPID-5).
namespace countersign::appid_registry::domain {

// What was presented, well formed.
struct Presented {
  AppId app_id;
  std::string app_id_text;           // as it was written
  std::string ae_id;                 // empty if none was
  std::string root_of_trust_sha256;  // hex; empty if none was
};

// INVALID_ARGUMENT (APP_ID_MALFORMED, AE_ID_MALFORMED, ROOT_OF_TRUST_MALFORMED).
absl::StatusOr<Presented> ParsePresented(absl::string_view app_id, absl::string_view ae_id,
                                         absl::string_view root_of_trust_sha256);

// The numbers are those of the API.
enum class Status { kRegistered = 1, kNotRegistered = 2, kSuspended = 3, kRevoked = 4 };
inline constexpr Status kAllStatuses[] = {Status::kRegistered, Status::kNotRegistered, Status::kSuspended,
                                          Status::kRevoked};
absl::string_view StatusName(Status status);  // "REGISTERED", ...

enum class Severity { kNotice = 1, kWarning = 2, kCritical = 3 };
absl::string_view SeverityName(Severity severity);  // "NOTICE", ...

struct Finding {
  Severity severity = Severity::kNotice;
  std::string reason;   // as in appid_registry.proto
  std::string message;  // printable ASCII
};

struct Assessment {
  Status status = Status::kNotRegistered;
  std::vector<Finding> findings;
};

// Compares what was presented with what is registered; `profile` is null if nothing is.
Assessment Assess(const Presented& presented, const Profile* profile);

// The answer as a signed JSON document (common/trust/envelope.h) of type "app-id-answer" with app_id, ae_id,
// root_of_trust_sha256, status, profile_sha256 ("" if nothing is registered), findings, answer_time and
// expires. Times are whole seconds. Returns Signer's error.
absl::StatusOr<std::string> SignAnswer(const Presented& presented, const Profile* profile,
                                       const Assessment& assessment, absl::Time answer_time,
                                       absl::Time expire_time, const crypto::Signer& signer);

}  // namespace countersign::appid_registry::domain

#endif  // COUNTERSIGN_SERVICES_APPID_REGISTRY_DOMAIN_ANSWER_H_
