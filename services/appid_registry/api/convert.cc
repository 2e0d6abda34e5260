#include "services/appid_registry/api/convert.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "services/appid_registry/domain/identifiers.h"

namespace countersign::appid_registry {
namespace {

constexpr absl::string_view kPrefix = "profiles/";

// The domain's enumerations have the API's numbers.
static_assert(static_cast<int>(domain::State::kRevoked) == v1::Profile::STATE_REVOKED);
static_assert(static_cast<int>(domain::ApplicationClass::kCriticalInfrastructure) ==
              v1::Profile::APPLICATION_CLASS_CRITICAL_INFRASTRUCTURE);
static_assert(static_cast<int>(domain::SecurityCapability::kSecureElement) ==
              v1::Profile::SECURITY_CAPABILITY_SECURE_ELEMENT);
static_assert(static_cast<int>(domain::AuthenticationType::kPreSharedKey) ==
              v1::Profile::AUTHENTICATION_TYPE_PRE_SHARED_KEY);
static_assert(static_cast<int>(domain::CommunicationsClass::kIntermittentBurst) ==
              v1::Profile::COMMUNICATIONS_CLASS_INTERMITTENT_BURST);
static_assert(static_cast<int>(domain::PrivacyCategory::kMedical) == v1::Profile::PRIVACY_CATEGORY_MEDICAL);
static_assert(static_cast<int>(domain::Severity::kCritical) == v1::Finding::SEVERITY_CRITICAL);
static_assert(static_cast<int>(domain::Status::kRevoked) == v1::VerifyIdentityResponse::STATUS_REVOKED);

absl::Status NameInvalid(absl::string_view name) {
  return Error(absl::StatusCode::kInvalidArgument, "NAME_INVALID",
               absl::StrCat("\"", name.substr(0, 200), "\" is not a name of the form profiles/{app_id}."));
}

}  // namespace

google::protobuf::Timestamp ToProto(absl::Time time) {
  google::protobuf::Timestamp timestamp;
  timestamp.set_seconds(absl::ToUnixSeconds(time));
  timestamp.set_nanos(static_cast<int32_t>(absl::ToUnixNanos(time) - timestamp.seconds() * 1'000'000'000));
  return timestamp;
}

v1::Profile ToProto(const domain::Profile& profile) {
  v1::Profile proto;
  proto.set_name(absl::StrCat(kPrefix, profile.app_id));
  proto.set_application_type(profile.application_type);
  proto.set_application_class(static_cast<v1::Profile::ApplicationClass>(profile.application_class));
  proto.set_security_capability(static_cast<v1::Profile::SecurityCapability>(profile.security_capability));
  proto.set_authentication_type(static_cast<v1::Profile::AuthenticationType>(profile.authentication_type));
  proto.set_root_of_trust_sha256(profile.root_of_trust_sha256);
  proto.set_communications_class(static_cast<v1::Profile::CommunicationsClass>(profile.communications_class));
  proto.mutable_data_model()->set_name(profile.data_model.name);
  proto.mutable_data_model()->set_ontology_mapping(profile.data_model.ontology_mapping);
  v1::DataPrivacy& privacy = *proto.mutable_data_privacy();
  privacy.set_category(static_cast<v1::Profile::PrivacyCategory>(profile.data_privacy.category));
  privacy.set_protection_level(profile.data_privacy.protection_level);
  privacy.set_purpose(profile.data_privacy.purpose);
  privacy.set_retention_days(profile.data_privacy.retention_days);
  privacy.set_shared(profile.data_privacy.shared);
  proto.set_manufacturer(profile.manufacturer);
  proto.set_state(static_cast<v1::Profile::State>(profile.state));
  *proto.mutable_create_time() = ToProto(profile.create_time);
  return proto;
}

v1::Finding ToProto(const domain::Finding& finding) {
  v1::Finding proto;
  proto.set_severity(static_cast<v1::Finding::Severity>(finding.severity));
  proto.set_reason(finding.reason);
  proto.set_message(finding.message);
  return proto;
}

absl::StatusOr<std::string> ParseProfileName(absl::string_view name) {
  absl::string_view text = name;
  if (!absl::ConsumePrefix(&text, kPrefix)) return NameInvalid(name);
  ASSIGN_OR_RETURN(domain::AppId app_id, domain::ParseAppId(text));
  return std::move(app_id.text);
}

absl::StatusOr<domain::Profile> FromProto(const v1::Profile& proto, absl::Time now) {
  domain::Profile profile;
  absl::string_view app_id = proto.name();
  if (!absl::ConsumePrefix(&app_id, kPrefix)) return NameInvalid(proto.name());
  profile.app_id = std::string(app_id);
  profile.application_type = proto.application_type();
  profile.application_class = static_cast<domain::ApplicationClass>(proto.application_class());
  profile.security_capability = static_cast<domain::SecurityCapability>(proto.security_capability());
  profile.authentication_type = static_cast<domain::AuthenticationType>(proto.authentication_type());
  profile.root_of_trust_sha256 = proto.root_of_trust_sha256();
  profile.communications_class = static_cast<domain::CommunicationsClass>(proto.communications_class());
  profile.data_model = {proto.data_model().name(), proto.data_model().ontology_mapping()};
  profile.data_privacy.category = static_cast<domain::PrivacyCategory>(proto.data_privacy().category());
  profile.data_privacy.protection_level = proto.data_privacy().protection_level();
  profile.data_privacy.purpose = proto.data_privacy().purpose();
  profile.data_privacy.retention_days = proto.data_privacy().retention_days();
  profile.data_privacy.shared = proto.data_privacy().shared();
  profile.manufacturer = proto.manufacturer();
  profile.create_time = now;
  return profile;
}

}  // namespace countersign::appid_registry
