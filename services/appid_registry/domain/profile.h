#ifndef COUNTERSIGN_SERVICES_APPID_REGISTRY_DOMAIN_PROFILE_H_
#define COUNTERSIGN_SERVICES_APPID_REGISTRY_DOMAIN_PROFILE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/onem2m/terms.h"

// What is registered about an App-ID (APPID-1). The numbers of the enumerations are stored, and are those of
// the API.
namespace countersign::appid_registry::domain {

enum class State { kRegistered = 1, kSuspended = 2, kRevoked = 3 };
enum class ApplicationClass { kUnspecified = 0, kConsumer = 1, kIndustrial = 2, kCriticalInfrastructure = 3 };
enum class SecurityCapability { kUnspecified = 0, kSoftware = 1, kTrustedExecution = 2, kSecureElement = 3 };
enum class AuthenticationType { kUnspecified = 0, kCertificate = 1, kRawPublicKey = 2, kPreSharedKey = 3 };
enum class CommunicationsClass {
  kUnspecified = 0,
  kStreamed = 1,
  kPeriodicBurst = 2,
  kIntermittentBurst = 3
};
// TS-0003, annex J.
enum class PrivacyCategory {
  kUnspecified = 0,
  kNotCollected = 1,
  kNonPersonal = 2,
  kAnonymized = 3,
  kPersonal = 4,
  kSensitivePersonal = 5,
  kMedical = 6,
};
enum class CollectionTime { kUnspecified = 0, kContinuous = 1, kPeriodic = 2, kOnEvent = 3, kOnRequest = 4 };

struct DataModel {
  std::string name;
  std::string ontology_mapping;  // empty if there is none
};

// TS-0003, annex J: what, how well protected, why, how long, for whom, who, when, where.
struct DataPrivacy {
  PrivacyCategory category = PrivacyCategory::kUnspecified;
  int protection_level = 0;  // 1 to 5
  std::string purpose;
  int retention_days = 0;
  bool shared = false;
  std::vector<std::string> collectors;
  CollectionTime collection_time = CollectionTime::kUnspecified;
  std::vector<std::string> countries;  // ISO 3166-1 alpha-2
  std::vector<std::string> shared_with;
};

struct Profile {
  std::string app_id;
  std::string application_type;
  ApplicationClass application_class = ApplicationClass::kUnspecified;
  SecurityCapability security_capability = SecurityCapability::kUnspecified;
  AuthenticationType authentication_type = AuthenticationType::kUnspecified;
  std::string root_of_trust_sha256;  // hex; empty only for pre-shared keys
  CommunicationsClass communications_class = CommunicationsClass::kUnspecified;
  DataModel data_model;
  DataPrivacy data_privacy;
  std::string manufacturer;                       // empty if it is nobody's
  absl::Time not_before = absl::InfinitePast();   // in force from
  absl::Time not_after = absl::InfiniteFuture();  // and until
  std::vector<std::string> ae_ids;                // patterns of stems; any if there is none
  std::string signed_terms;                       // the document; empty if there is none
};

// A profile in the registry.
struct Registration {
  Profile profile;
  std::optional<onem2m::Terms> terms;  // what profile.signed_terms says, verified when it was registered
  std::string authority_id;
  std::string registrar;  // id
  State state = State::kRegistered;
  std::string state_reason;  // empty while it is registered
  int version = 1;
  int64_t revision = 1;  // one more with every change of anything
  absl::Time create_time;
  absl::Time update_time;
};

// INVALID_ARGUMENT with the field and what it should be: APP_ID_MALFORMED, APP_ID_NOT_REGISTERABLE,
// PROFILE_INVALID. Signed terms are not looked into.
absl::Status CheckProfile(const Profile& profile);

// The profile as JSON with the API's field names, enumerations as their numbers, times in microseconds
// (absent when infinite), and of signed terms their SHA-256: what is stored, and what a digest vouches for.
std::string ProfileJson(const Profile& profile);
// The same back; signed_terms is empty. INTERNAL for what ProfileJson() did not write.
absl::StatusOr<Profile> ParseProfileJson(absl::string_view json);

// SHA-256, in hex, of ProfileJson(): changes with every attribute, and not with the state.
std::string ProfileDigest(const Profile& profile);

}  // namespace countersign::appid_registry::domain

#endif  // COUNTERSIGN_SERVICES_APPID_REGISTRY_DOMAIN_PROFILE_H_
