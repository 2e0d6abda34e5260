#ifndef COUNTERSIGN_SERVICES_APPID_REGISTRY_DOMAIN_ANSWER_H_
#define COUNTERSIGN_SERVICES_APPID_REGISTRY_DOMAIN_ANSWER_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/crypto/chain.h"
#include "common/onem2m/answer.h"
#include "common/onem2m/identifiers.h"
#include "services/appid_registry/domain/profile.h"

// What the registry says about an identity that was presented. It informs, and does not decide (APPID-5).
namespace countersign::appid_registry::domain {

// What the certificate of an application names it by: URI SANs of these beginnings (this product's choice;
// the rest is the identifier).
inline constexpr char kAppIdUri[] = "urn:onem2m:api:";
inline constexpr char kAeIdUri[] = "urn:onem2m:aei:";

// What was presented and observed, as it came.
struct Asked {
  std::string app_id;
  std::string ae_id;
  std::string root_of_trust_sha256;
  std::vector<std::string> certificates;  // DER or PEM, leaf first
  std::string public_key_sha256;
  bool pre_shared_key = false;
  ApplicationClass application_class = ApplicationClass::kUnspecified;
  CommunicationsClass communications_class = CommunicationsClass::kUnspecified;
  std::string data_model;
  SecurityCapability credential_protection = SecurityCapability::kUnspecified;
  bool credential_protection_attested = false;
};

// The same, well formed.
struct Presented {
  onem2m::AppId app_id;
  std::optional<onem2m::AeId> ae_id;
  std::vector<crypto::ChainCertificate> chain;
  onem2m::Question question;  // all of it, with the certificates' digests
};

// INVALID_ARGUMENT (APP_ID_MALFORMED, AE_ID_MALFORMED, ROOT_OF_TRUST_MALFORMED, CREDENTIAL_MALFORMED,
// OBSERVATION_MALFORMED).
absl::StatusOr<Presented> ParsePresented(const Asked& asked);

// The numbers are those of the API.
enum class Status {
  kRegistered = 1,
  kNotRegistered = 2,
  kSuspended = 3,
  kRevoked = 4,
  kExpired = 5,
  kNotYetValid = 6
};
inline constexpr Status kAllStatuses[] = {Status::kRegistered, Status::kNotRegistered, Status::kSuspended,
                                          Status::kRevoked,    Status::kExpired,       Status::kNotYetValid};
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
  // Until when the passing of time alone changes nothing of it.
  absl::Time holds_until = absl::InfiniteFuture();
};

// Compares what was presented at `now` with what is registered; `registration` is null if nothing is.
Assessment Assess(const Presented& presented, const Registration* registration, absl::Time now);

}  // namespace countersign::appid_registry::domain

#endif  // COUNTERSIGN_SERVICES_APPID_REGISTRY_DOMAIN_ANSWER_H_
