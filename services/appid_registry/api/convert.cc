#include "services/appid_registry/api/convert.h"

#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/onem2m/identifiers.h"
#include "common/status/errors.h"
#include "common/status/macros.h"

namespace countersign::appid_registry {
namespace {

constexpr absl::string_view kProfiles = "profiles/";
constexpr absl::string_view kRegistrants = "registrants/";
constexpr size_t kMaxFilterText = 256;

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
static_assert(static_cast<int>(domain::CollectionTime::kOnRequest) ==
              v1::DataPrivacy::COLLECTION_TIME_ON_REQUEST);
static_assert(static_cast<int>(domain::Severity::kCritical) == v1::Finding::SEVERITY_CRITICAL);
static_assert(static_cast<int>(domain::Status::kNotYetValid) ==
              v1::VerifyIdentityResponse::STATUS_NOT_YET_VALID);
static_assert(static_cast<int>(domain::EventKind::kRevoked) == v1::ProfileEvent::KIND_REVOKED);

absl::Status NameInvalid(absl::string_view name, absl::string_view form) {
  return Error(absl::StatusCode::kInvalidArgument, "NAME_INVALID",
               absl::StrCat("\"", name.substr(0, 200), "\" is not a name of the form ", form, "."));
}

std::string Etag(int64_t revision) { return absl::StrCat("r", revision); }

std::vector<std::string> Texts(const google::protobuf::RepeatedPtrField<std::string>& field) {
  return {field.begin(), field.end()};
}

// What would be later or earlier than any date stays infinite, so that it is not told as a date.
absl::StatusOr<absl::Time> ToTime(absl::string_view field, const google::protobuf::Timestamp& timestamp) {
  constexpr int64_t kFirst = -62135596800;  // 0001-01-01
  constexpr int64_t kLast = 253402300799;   // 9999-12-31
  if (timestamp.seconds() < kFirst || timestamp.seconds() > kLast || timestamp.nanos() < 0 ||
      timestamp.nanos() > 999'999'999) {
    return Error(absl::StatusCode::kInvalidArgument, "PROFILE_INVALID",
                 absl::StrCat(field, ": is not a time."));
  }
  // As the database keeps it.
  return absl::FromUnixMicros(timestamp.seconds() * 1'000'000 + timestamp.nanos() / 1000);
}

void SetContent(const domain::Profile& profile, v1::Profile& proto) {
  proto.set_name(absl::StrCat(kProfiles, profile.app_id));
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
  for (const std::string& name : profile.data_privacy.collectors) privacy.add_collectors(name);
  privacy.set_collection_time(
      static_cast<v1::DataPrivacy::CollectionTime>(profile.data_privacy.collection_time));
  for (const std::string& country : profile.data_privacy.countries) privacy.add_countries(country);
  for (const std::string& name : profile.data_privacy.shared_with) privacy.add_shared_with(name);
  proto.set_manufacturer(profile.manufacturer);
  if (profile.not_before != absl::InfinitePast()) *proto.mutable_not_before() = ToProto(profile.not_before);
  if (profile.not_after != absl::InfiniteFuture()) *proto.mutable_not_after() = ToProto(profile.not_after);
  for (const std::string& pattern : profile.ae_ids) proto.add_ae_ids(pattern);
  proto.set_signed_terms(profile.signed_terms);
}

void SetTerms(const domain::Registration& registration, v1::Profile& proto) {
  if (!registration.terms.has_value()) return;
  v1::Terms& terms = *proto.mutable_terms();
  terms.set_registrant(registration.terms->registrant);
  terms.set_terms_id(registration.terms->terms_id);
  terms.set_version(registration.terms->terms_version);
  terms.set_sha256(registration.terms->terms_sha256);
  *terms.mutable_signed_time() = ToProto(registration.terms->signed_at);
}

}  // namespace

google::protobuf::Timestamp ToProto(absl::Time time) {
  google::protobuf::Timestamp timestamp;
  timestamp.set_seconds(absl::ToUnixSeconds(time));
  timestamp.set_nanos(
      static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(timestamp.seconds()))));
  return timestamp;
}

v1::Profile ToProto(const domain::Registration& registration) {
  v1::Profile proto;
  SetContent(registration.profile, proto);
  SetTerms(registration, proto);
  proto.set_state(static_cast<v1::Profile::State>(registration.state));
  proto.set_state_reason(registration.state_reason);
  proto.set_version(registration.version);
  proto.set_etag(Etag(registration.revision));
  proto.set_authority_id(registration.authority_id);
  proto.set_registrar(registration.registrar);
  *proto.mutable_create_time() = ToProto(registration.create_time);
  *proto.mutable_update_time() = ToProto(registration.update_time);
  return proto;
}

v1::ProfileVersion ToProto(const ProfileVersion& version) {
  v1::ProfileVersion proto;
  v1::Profile& profile = *proto.mutable_profile();
  SetContent(version.registration.profile, profile);
  SetTerms(version.registration, profile);
  profile.set_version(version.registration.version);
  profile.set_authority_id(version.registration.authority_id);
  *proto.mutable_create_time() = ToProto(version.create_time);
  proto.set_actor(version.actor);
  return proto;
}

v1::ProfileEvent ToProto(const domain::Event& event) {
  v1::ProfileEvent proto;
  proto.set_kind(static_cast<v1::ProfileEvent::Kind>(event.kind));
  *proto.mutable_event_time() = ToProto(event.time);
  proto.set_actor(event.actor);
  proto.set_reason(event.reason);
  proto.set_version(event.version);
  return proto;
}

v1::Registrant ToProto(const domain::Registrant& registrant) {
  v1::Registrant proto;
  proto.set_name(absl::StrCat(kRegistrants, registrant.id));
  proto.set_display_name(registrant.display_name);
  proto.set_public_key_pem(registrant.public_key_pem);
  *proto.mutable_create_time() = ToProto(registrant.create_time);
  proto.set_registrar(registrant.registrar);
  proto.set_etag(Etag(registrant.revision));
  return proto;
}

v1::IssuedAppId ToProto(const IssuedAppId& issued) {
  v1::IssuedAppId proto;
  proto.set_app_id(issued.app_id);
  proto.set_registrar(issued.registrar);
  *proto.mutable_issue_time() = ToProto(issued.issue_time);
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
  if (!absl::ConsumePrefix(&text, kProfiles)) return NameInvalid(name, "profiles/{app_id}");
  ASSIGN_OR_RETURN(onem2m::AppId app_id, onem2m::ParseAppId(text));
  return std::move(app_id.text);
}

absl::StatusOr<std::string> ParseRegistrantName(absl::string_view name) {
  absl::string_view id = name;
  if (!absl::ConsumePrefix(&id, kRegistrants) || !domain::IsRegistrantId(id)) {
    return NameInvalid(name, "registrants/{id}");
  }
  return std::string(id);
}

absl::StatusOr<std::optional<int64_t>> ParseEtag(absl::string_view etag) {
  if (etag.empty()) return std::nullopt;
  int64_t revision;
  absl::string_view digits = etag;
  if (absl::ConsumePrefix(&digits, "r") && absl::SimpleAtoi(digits, &revision)) return revision;
  return Error(absl::StatusCode::kAborted, "ETAG_MISMATCH",
               "The etag is none that was given out: read again.");
}

absl::StatusOr<domain::Profile> FromProto(const v1::Profile& proto) {
  domain::Profile profile;
  absl::string_view app_id = proto.name();
  if (!absl::ConsumePrefix(&app_id, kProfiles)) return NameInvalid(proto.name(), "profiles/{app_id}");
  profile.app_id = std::string(app_id);
  profile.application_type = proto.application_type();
  profile.application_class = static_cast<domain::ApplicationClass>(proto.application_class());
  profile.security_capability = static_cast<domain::SecurityCapability>(proto.security_capability());
  profile.authentication_type = static_cast<domain::AuthenticationType>(proto.authentication_type());
  profile.root_of_trust_sha256 = proto.root_of_trust_sha256();
  profile.communications_class = static_cast<domain::CommunicationsClass>(proto.communications_class());
  profile.data_model = {proto.data_model().name(), proto.data_model().ontology_mapping()};
  const v1::DataPrivacy& privacy = proto.data_privacy();
  profile.data_privacy = {.category = static_cast<domain::PrivacyCategory>(privacy.category()),
                          .protection_level = privacy.protection_level(),
                          .purpose = privacy.purpose(),
                          .retention_days = privacy.retention_days(),
                          .shared = privacy.shared(),
                          .collectors = Texts(privacy.collectors()),
                          .collection_time = static_cast<domain::CollectionTime>(privacy.collection_time()),
                          .countries = Texts(privacy.countries()),
                          .shared_with = Texts(privacy.shared_with())};
  profile.manufacturer = proto.manufacturer();
  if (proto.has_not_before()) {
    ASSIGN_OR_RETURN(profile.not_before, ToTime("not_before", proto.not_before()));
  }
  if (proto.has_not_after()) {
    ASSIGN_OR_RETURN(profile.not_after, ToTime("not_after", proto.not_after()));
  }
  profile.ae_ids = Texts(proto.ae_ids());
  profile.signed_terms = proto.signed_terms();
  return profile;
}

absl::StatusOr<domain::Registrant> FromProto(const v1::Registrant& proto) {
  domain::Registrant registrant;
  ASSIGN_OR_RETURN(registrant.id, ParseRegistrantName(proto.name()));
  registrant.display_name = proto.display_name();
  registrant.public_key_pem = proto.public_key_pem();
  return registrant;
}

absl::StatusOr<ProfileFilter> FromProto(const v1::ListProfilesRequest& request) {
  for (const std::string* text : {&request.app_id_prefix(), &request.authority_id(), &request.manufacturer(),
                                  &request.registrant(), &request.application_type()}) {
    if (text->size() <= kMaxFilterText && text->find('\0') == std::string::npos) continue;
    return Error(absl::StatusCode::kInvalidArgument, "FILTER_INVALID",
                 absl::StrCat("A condition has at most ", kMaxFilterText, " characters, and no NUL."));
  }
  ProfileFilter filter{
      .app_id_prefix = request.app_id_prefix(),
      .authority_id = request.authority_id(),
      .manufacturer = request.manufacturer(),
      .registrant = request.registrant(),
      .application_type = request.application_type(),
      .application_class = static_cast<domain::ApplicationClass>(request.application_class())};
  if (request.state() != v1::Profile::STATE_UNSPECIFIED)
    filter.state = static_cast<domain::State>(request.state());
  return filter;
}

domain::Asked FromProto(const v1::VerifyIdentityRequest& request) {
  const v1::Observation& observation = request.observation();
  domain::Asked asked{
      .app_id = request.app_id(),
      .ae_id = request.ae_id(),
      .root_of_trust_sha256 = request.root_of_trust_sha256(),
      .certificates = Texts(request.credential().certificate_chain()),
      .public_key_sha256 = request.credential().public_key_sha256(),
      .pre_shared_key = request.credential().pre_shared_key(),
      .application_class = static_cast<domain::ApplicationClass>(observation.application_class()),
      .communications_class = static_cast<domain::CommunicationsClass>(observation.communications_class()),
      .data_model = observation.data_model(),
      .credential_protection = static_cast<domain::SecurityCapability>(observation.credential_protection()),
      .credential_protection_attested = observation.credential_protection_attested()};
  return asked;
}

}  // namespace countersign::appid_registry
