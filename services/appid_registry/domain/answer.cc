#include "services/appid_registry/domain/answer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "common/crypto/hex.h"
#include "common/status/errors.h"
#include "common/status/macros.h"

namespace countersign::appid_registry::domain {
namespace {

constexpr size_t kMaxDataModel = 256;

absl::Status Invalid(absl::string_view reason, absl::string_view message) {
  return Error(absl::StatusCode::kInvalidArgument, reason, message);
}

absl::Status CheckObservation(const Asked& asked) {
  const auto within = [](auto value, auto last) {
    return static_cast<int>(value) >= 0 && static_cast<int>(value) <= static_cast<int>(last);
  };
  if (!within(asked.application_class, ApplicationClass::kCriticalInfrastructure) ||
      !within(asked.communications_class, CommunicationsClass::kIntermittentBurst) ||
      !within(asked.credential_protection, SecurityCapability::kSecureElement)) {
    return Invalid("OBSERVATION_MALFORMED", "observation: has a value that the API does not know.");
  }
  if (asked.data_model.size() > kMaxDataModel ||
      std::any_of(asked.data_model.begin(), asked.data_model.end(),
                  [](char c) { return absl::ascii_iscntrl(static_cast<unsigned char>(c)); })) {
    return Invalid("OBSERVATION_MALFORMED",
                   "observation.data_model: must have at most 256 characters, without control characters.");
  }
  return absl::OkStatus();
}

class Assessor {
 public:
  Assessor(const Presented& presented, const Registration* registration, absl::Time now)
      : presented_(presented), registration_(registration), now_(now) {}

  Assessment Run() {
    CheckAppId();
    if (registration_ != nullptr) {
      CheckState();
      CheckAeId();
    }
    CheckCredentialItself();
    if (registration_ != nullptr) {
      CheckCredentialAgainstProfile();
      CheckProtection();
      CheckObserved();
    }
    return std::move(assessment_);
  }

 private:
  void Find(Severity severity, const char* reason, const char* message) {
    assessment_.findings.push_back({severity, reason, message});
  }
  // The answer is another one from `time` on, if that is to come.
  void ChangesAt(absl::Time time) {
    if (time > now_) assessment_.holds_until = std::min(assessment_.holds_until, time);
  }

  void CheckAppId() {
    if (!presented_.app_id.registered_form) {
      Find(Severity::kWarning, "NOT_GLOBALLY_UNIQUE",
           "An App-ID that begins with N is its maker's own choice: another application may have the same.");
    }
    if (presented_.app_id.lower_case_prefix) {
      Find(Severity::kWarning, "LOWER_CASE_PREFIX",
           "The prefix r is forbidden from oneM2M release 4: the application should present R.");
    }
    if (registration_ == nullptr) {
      Find(Severity::kWarning, "NOT_REGISTERED",
           "The App-ID is not in this registry: nothing is known of it.");
    }
  }

  void CheckState() {
    const Profile& profile = registration_->profile;
    ChangesAt(profile.not_before);
    ChangesAt(profile.not_after);
    switch (registration_->state) {
      case State::kRegistered:
        assessment_.status = Status::kRegistered;
        break;
      case State::kSuspended:
        assessment_.status = Status::kSuspended;
        Find(Severity::kCritical, "SUSPENDED", "The registration is suspended: it is out of force for now.");
        break;
      case State::kRevoked:
        assessment_.status = Status::kRevoked;
        Find(Severity::kCritical, "REVOKED", "The registration is revoked: it is out of force for good.");
        break;
    }
    if (now_ < profile.not_before) {
      if (assessment_.status == Status::kRegistered) assessment_.status = Status::kNotYetValid;
      Find(Severity::kCritical, "NOT_YET_VALID", "The registration's validity has not begun.");
    }
    if (now_ >= profile.not_after) {
      if (assessment_.status == Status::kRegistered) assessment_.status = Status::kExpired;
      Find(Severity::kCritical, "EXPIRED", "The registration's validity is over.");
    }
  }

  void CheckAeId() {
    const std::vector<std::string>& patterns = registration_->profile.ae_ids;
    if (patterns.empty() || !presented_.ae_id.has_value()) return;
    if (std::any_of(patterns.begin(), patterns.end(), [&](const std::string& pattern) {
          return onem2m::StemMatches(pattern, presented_.ae_id->stem);
        })) {
      return;
    }
    Find(Severity::kCritical, "AE_ID_OF_ANOTHER",
         "The AE-ID is none of those that are registered for the App-ID.");
  }

  // What the certificates say by themselves, whatever is registered.
  void CheckCredentialItself() {
    const std::vector<crypto::ChainCertificate>& chain = presented_.chain;
    if (chain.empty()) return;
    for (const crypto::ChainCertificate& certificate : chain) {
      ChangesAt(certificate.not_before);
      ChangesAt(certificate.not_after);
    }
    if (std::any_of(chain.begin(), chain.end() - 1, [](const crypto::ChainCertificate& certificate) {
          return !certificate.signed_by_next;
        })) {
      Find(Severity::kCritical, "CREDENTIAL_CHAIN_BROKEN",
           "A certificate of the chain is not signed by the one after it.");
    }
    if (std::any_of(chain.begin(), chain.end(),
                    [&](const auto& certificate) { return now_ >= certificate.not_after; })) {
      Find(Severity::kCritical, "CREDENTIAL_EXPIRED", "The validity of a certificate of the chain is over.");
    }
    if (std::any_of(chain.begin(), chain.end(),
                    [&](const auto& certificate) { return now_ < certificate.not_before; })) {
      Find(Severity::kCritical, "CREDENTIAL_NOT_YET_VALID",
           "The validity of a certificate of the chain has not begun.");
    }
    const Named app =
        Names(kAppIdUri, [&](absl::string_view named) { return named == presented_.app_id.text; });
    const Named ae = Names(kAeIdUri, [&](absl::string_view named) { return IsPresentedAeId(named); });
    if (app == Named::kAnother || ae == Named::kAnother) {
      Find(Severity::kCritical, "CREDENTIAL_OF_ANOTHER",
           "The certificate names another application than the one that presents it.");
    } else if (app == Named::kNobody && ae == Named::kNobody) {
      Find(
          Severity::kNotice, "CREDENTIAL_NAMES_NOBODY",
          "The certificate names no application: whoever has one of the same root could present the App-ID.");
    }
  }

  enum class Named { kNobody, kThis, kAnother };

  // Whom the leaf's names of this kind name.
  template <typename Same>
  Named Names(absl::string_view prefix, const Same& same) const {
    Named found = Named::kNobody;
    for (const std::string& uri : presented_.chain.front().uris) {
      if (!absl::StartsWith(uri, prefix)) continue;
      if (same(absl::string_view(uri).substr(prefix.size()))) return Named::kThis;
      found = Named::kAnother;
    }
    return found;
  }

  bool IsPresentedAeId(absl::string_view named) const {
    // A CSE that is to give out the AE-ID has none to compare with yet.
    if (!presented_.ae_id.has_value()) return true;
    const absl::StatusOr<onem2m::AeId> ae_id = onem2m::ParseAeId(named);
    return ae_id.ok() && ae_id->stem == presented_.ae_id->stem &&
           (ae_id->cse.empty() || presented_.ae_id->cse.empty() || ae_id->cse == presented_.ae_id->cse);
  }

  void CheckCredentialAgainstProfile() {
    const Profile& profile = registration_->profile;
    const onem2m::Question& question = presented_.question;
    AuthenticationType presented = AuthenticationType::kUnspecified;
    if (!presented_.chain.empty()) presented = AuthenticationType::kCertificate;
    if (!question.public_key_sha256.empty()) presented = AuthenticationType::kRawPublicKey;
    if (question.pre_shared_key) presented = AuthenticationType::kPreSharedKey;
    if (presented != AuthenticationType::kUnspecified && presented != profile.authentication_type) {
      Find(Severity::kCritical, "CREDENTIAL_TYPE_DIFFERS",
           "The credential is of another type than the registered authentication type.");
    }
    if (profile.root_of_trust_sha256.empty()) return;
    switch (RootOfTrust(profile.root_of_trust_sha256)) {
      case Root::kRegistered:
        break;
      case Root::kOther:
        Find(Severity::kCritical, "ROOT_OF_TRUST_DIFFERS",
             "The credential that was presented ends in another root of trust than the registered one.");
        break;
      case Root::kUnknown:
        Find(
            Severity::kWarning, "ROOT_OF_TRUST_MISSING",
            "A root of trust is registered and none was presented: whether the credential ends in it was not "
            "compared.");
        break;
    }
  }

  enum class Root { kRegistered, kOther, kUnknown };

  Root RootOfTrust(const std::string& registered) const {
    const onem2m::Question& question = presented_.question;
    if (presented_.chain.empty()) {
      const std::string& stated =
          question.public_key_sha256.empty() ? question.root_of_trust_sha256 : question.public_key_sha256;
      if (stated.empty()) return Root::kUnknown;
      return stated == registered ? Root::kRegistered : Root::kOther;
    }
    // As far as each certificate is signed by the next, and not a step further: behind a break anybody may
    // put the registered root.
    for (const crypto::ChainCertificate& certificate : presented_.chain) {
      const bool is_root = certificate.is_authority || &certificate == &presented_.chain.front();
      if (is_root && (certificate.sha256 == registered || certificate.public_key_sha256 == registered)) {
        return Root::kRegistered;
      }
      if (!certificate.signed_by_next) return certificate.self_signed ? Root::kOther : Root::kUnknown;
    }
    return Root::kUnknown;
  }

  void CheckProtection() {
    const SecurityCapability promised = registration_->profile.security_capability;
    if (promised == SecurityCapability::kSoftware) return;
    const auto seen = static_cast<SecurityCapability>(presented_.question.credential_protection);
    if (seen == SecurityCapability::kUnspecified) {
      // Who presents no credential is not asked where it is kept.
      if (presented_.chain.empty() && presented_.question.public_key_sha256.empty()) return;
      Find(Severity::kNotice, "CREDENTIAL_PROTECTION_UNKNOWN",
           "An enclave is promised for the credential, and nobody says whether it is in one.");
    } else if (seen < promised) {
      Find(Severity::kCritical, "CREDENTIAL_NOT_PROTECTED",
           "A better enclave is promised for the credential than the one, or none, that it is in.");
    } else if (!presented_.question.credential_protection_attested) {
      Find(Severity::kNotice, "CREDENTIAL_PROTECTION_UNKNOWN",
           "That the credential is in the promised enclave is said, and not attested.");
    }
  }

  void CheckObserved() {
    const Profile& profile = registration_->profile;
    const onem2m::Question& question = presented_.question;
    if (question.application_class != 0 &&
        question.application_class != static_cast<int>(profile.application_class)) {
      Find(Severity::kWarning, "APPLICATION_CLASS_DIFFERS",
           "The application is used in another class of surroundings than it is registered for.");
    }
    if (question.communications_class != 0 &&
        question.communications_class != static_cast<int>(profile.communications_class)) {
      Find(Severity::kWarning, "COMMUNICATIONS_CLASS_DIFFERS",
           "The application communicates in another way than it is registered for.");
    }
    if (!question.data_model.empty() && question.data_model != profile.data_model.name &&
        question.data_model != profile.data_model.ontology_mapping) {
      Find(Severity::kWarning, "DATA_MODEL_DIFFERS",
           "The application wants to use another data model than the registered one.");
    }
  }

  const Presented& presented_;
  const Registration* const registration_;
  const absl::Time now_;
  Assessment assessment_;
};

}  // namespace

absl::StatusOr<Presented> ParsePresented(const Asked& asked) {
  Presented presented;
  ASSIGN_OR_RETURN(presented.app_id, onem2m::ParseAppId(asked.app_id));
  if (!asked.ae_id.empty()) {
    ASSIGN_OR_RETURN(presented.ae_id, onem2m::ParseAeId(asked.ae_id));
  }
  if (!asked.root_of_trust_sha256.empty() && !crypto::IsSha256Hex(asked.root_of_trust_sha256)) {
    return Invalid("ROOT_OF_TRUST_MALFORMED",
                   "root_of_trust_sha256: must be 64 lower-case hexadecimal digits, or empty.");
  }
  if (!asked.public_key_sha256.empty() && !crypto::IsSha256Hex(asked.public_key_sha256)) {
    return Invalid("CREDENTIAL_MALFORMED",
                   "credential.public_key_sha256: must be 64 lower-case hexadecimal digits, or empty.");
  }
  const int credentials = (asked.certificates.empty() ? 0 : 1) + (asked.public_key_sha256.empty() ? 0 : 1) +
                          (asked.pre_shared_key ? 1 : 0);
  if (credentials > 1 || (credentials == 1 && !asked.root_of_trust_sha256.empty())) {
    return Invalid(
        "CREDENTIAL_MALFORMED",
        "credential: is one of a certificate chain, a public key, a pre-shared key, and stands for "
        "itself without root_of_trust_sha256.");
  }
  if (!asked.certificates.empty()) {
    ASSIGN_OR_RETURN(presented.chain, crypto::ParseChain(asked.certificates));
  }
  RETURN_IF_ERROR(CheckObservation(asked));

  presented.question = {.app_id = asked.app_id,
                        .ae_id = asked.ae_id,
                        .root_of_trust_sha256 = asked.root_of_trust_sha256,
                        .public_key_sha256 = asked.public_key_sha256,
                        .pre_shared_key = asked.pre_shared_key,
                        .application_class = static_cast<int>(asked.application_class),
                        .communications_class = static_cast<int>(asked.communications_class),
                        .data_model = asked.data_model,
                        .credential_protection = static_cast<int>(asked.credential_protection),
                        .credential_protection_attested = asked.credential_protection_attested};
  for (const crypto::ChainCertificate& certificate : presented.chain) {
    presented.question.certificates_sha256.push_back(certificate.sha256);
  }
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
    case Status::kExpired:
      return "EXPIRED";
    case Status::kNotYetValid:
      return "NOT_YET_VALID";
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

Assessment Assess(const Presented& presented, const Registration* registration, absl::Time now) {
  return Assessor(presented, registration, now).Run();
}

}  // namespace countersign::appid_registry::domain
