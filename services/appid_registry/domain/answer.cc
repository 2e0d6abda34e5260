#include "services/appid_registry/domain/answer.h"

#include <utility>

#include "common/crypto/hex.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/trust/envelope.h"
#include "nlohmann/json.hpp"

namespace countersign::appid_registry::domain {

absl::StatusOr<Presented> ParsePresented(absl::string_view app_id, absl::string_view ae_id,
                                         absl::string_view root_of_trust_sha256) {
  Presented presented;
  ASSIGN_OR_RETURN(presented.app_id, ParseAppId(app_id));
  presented.app_id_text = std::string(app_id);
  if (!ae_id.empty()) {
    RETURN_IF_ERROR(ParseAeId(ae_id).status());
    presented.ae_id = std::string(ae_id);
  }
  if (!root_of_trust_sha256.empty() && !crypto::IsSha256Hex(root_of_trust_sha256)) {
    return Error(absl::StatusCode::kInvalidArgument, "ROOT_OF_TRUST_MALFORMED",
                 "root_of_trust_sha256: must be 64 lower-case hexadecimal digits, or empty.");
  }
  presented.root_of_trust_sha256 = std::string(root_of_trust_sha256);
  return presented;
}

absl::string_view StatusName(Status status) {
  switch (status) {
    case Status::kRegistered:
      return "REGISTERED";
    case Status::kNotRegistered:
      return "NOT_REGISTERED";
    case Status::kSuspended:
      return "SUSPENDED";
    case Status::kRevoked:
      return "REVOKED";
  }
  return "";
}

absl::string_view SeverityName(Severity severity) {
  switch (severity) {
    case Severity::kNotice:
      return "NOTICE";
    case Severity::kWarning:
      return "WARNING";
    case Severity::kCritical:
      return "CRITICAL";
  }
  return "";
}

Assessment Assess(const Presented& presented, const Profile* profile) {
  Assessment assessment;
  const auto find = [&](Severity severity, const char* reason, const char* message) {
    assessment.findings.push_back({severity, reason, message});
  };
  if (!presented.app_id.registered_form) {
    find(Severity::kWarning, "NOT_GLOBALLY_UNIQUE",
         "An App-ID that begins with N is its maker's own choice: another application may have the same.");
  }
  if (presented.app_id.lower_case_prefix) {
    find(Severity::kWarning, "LOWER_CASE_PREFIX",
         "The prefix r is forbidden from oneM2M release 4: the application should present R.");
  }
  if (profile == nullptr) {
    find(Severity::kWarning, "NOT_REGISTERED", "The App-ID is not in this registry: nothing is known of it.");
    return assessment;
  }
  switch (profile->state) {
    case State::kRegistered:
      assessment.status = Status::kRegistered;
      break;
    case State::kSuspended:
      assessment.status = Status::kSuspended;
      find(Severity::kCritical, "SUSPENDED", "The registration is suspended: it is out of force for now.");
      break;
    case State::kRevoked:
      assessment.status = Status::kRevoked;
      find(Severity::kCritical, "REVOKED", "The registration is revoked: it is out of force for good.");
      break;
  }
  if (profile->root_of_trust_sha256.empty()) return assessment;
  if (presented.root_of_trust_sha256.empty()) {
    find(Severity::kWarning, "ROOT_OF_TRUST_MISSING",
         "A root of trust is registered and none was presented: whether the credential ends in it was not "
         "compared.");
  } else if (presented.root_of_trust_sha256 != profile->root_of_trust_sha256) {
    find(Severity::kCritical, "ROOT_OF_TRUST_DIFFERS",
         "The credential that was presented ends in another root of trust than the registered one.");
  }
  return assessment;
}

absl::StatusOr<std::string> SignAnswer(const Presented& presented, const Profile* profile,
                                       const Assessment& assessment, absl::Time answer_time,
                                       absl::Time expire_time, const crypto::Signer& signer) {
  nlohmann::json findings = nlohmann::json::array();
  for (const Finding& finding : assessment.findings) {
    findings.push_back({{"severity", std::string(SeverityName(finding.severity))},
                        {"reason", finding.reason},
                        {"message", finding.message}});
  }
  trust::Envelope envelope = trust::Envelope::Unsigned({
      {"_type", "app-id-answer"},
      {"app_id", presented.app_id_text},
      {"ae_id", presented.ae_id},
      {"root_of_trust_sha256", presented.root_of_trust_sha256},
      {"status", std::string(StatusName(assessment.status))},
      {"profile_sha256", profile == nullptr ? "" : ProfileDigest(*profile)},
      {"findings", std::move(findings)},
      {"answer_time", trust::FormatUtc(answer_time)},
      {"expires", trust::FormatUtc(expire_time)},
  });
  RETURN_IF_ERROR(envelope.Sign(signer));
  return envelope.Serialise();
}

}  // namespace countersign::appid_registry::domain
