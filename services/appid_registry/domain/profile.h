#ifndef COUNTERSIGN_SERVICES_APPID_REGISTRY_DOMAIN_PROFILE_H_
#define COUNTERSIGN_SERVICES_APPID_REGISTRY_DOMAIN_PROFILE_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

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

struct DataModel {
  std::string name;
  std::string ontology_mapping;  // empty if there is none
};

struct DataPrivacy {
  PrivacyCategory category = PrivacyCategory::kUnspecified;
  int protection_level = 0;  // 1 to 5
  std::string purpose;
  int retention_days = 0;
  bool shared = false;
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
  std::string manufacturer;  // empty if it is nobody's
  State state = State::kRegistered;
  absl::Time create_time;
};

// INVALID_ARGUMENT with the field and what it should be: APP_ID_MALFORMED, APP_ID_NOT_REGISTERABLE,
// PROFILE_INVALID.
absl::Status CheckProfile(const Profile& profile);

// SHA-256, in hex, of what is registered, but for its state: what a signed answer vouches for. Over canonical
// JSON with the API's field names, enumerations as their numbers.
std::string ProfileDigest(const Profile& profile);

}  // namespace countersign::appid_registry::domain

#endif  // COUNTERSIGN_SERVICES_APPID_REGISTRY_DOMAIN_PROFILE_H_
