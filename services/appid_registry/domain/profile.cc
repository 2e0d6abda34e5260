#include "services/appid_registry/domain/profile.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/crypto/digest.h"
#include "common/crypto/hex.h"
#include "common/onem2m/identifiers.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/trust/canonical_json.h"
#include "nlohmann/json.hpp"

namespace countersign::appid_registry::domain {
namespace {

constexpr int kMaxRetentionDays = 36500;
constexpr size_t kMaxOrganisations = 16;
constexpr size_t kMaxCountries = 64;
constexpr size_t kMaxAeIds = 64;

absl::Status Invalid(absl::string_view message) {
  return Error(absl::StatusCode::kInvalidArgument, "PROFILE_INVALID", message);
}

// `field` must have `least` to `most` bytes, without control characters.
absl::Status CheckText(absl::string_view field, absl::string_view text, size_t least, size_t most) {
  const bool clean = std::none_of(text.begin(), text.end(),
                                  [](char c) { return absl::ascii_iscntrl(static_cast<unsigned char>(c)); });
  if (clean && text.size() >= least && text.size() <= most) return absl::OkStatus();
  return Invalid(
      absl::StrCat(field, ": must have ", least, " to ", most, " characters, without control characters."));
}

template <typename Enum>
absl::Status CheckStated(absl::string_view field, Enum value, Enum last) {
  if (static_cast<int>(value) >= 1 && static_cast<int>(value) <= static_cast<int>(last))
    return absl::OkStatus();
  return Invalid(absl::StrCat(field, ": must be stated, with one of the API's values."));
}

absl::Status CheckRootOfTrust(const Profile& profile) {
  if (profile.root_of_trust_sha256.empty()) {
    if (profile.authentication_type == AuthenticationType::kPreSharedKey) return absl::OkStatus();
    return Invalid("root_of_trust_sha256: is required for certificates and raw public keys.");
  }
  if (crypto::IsSha256Hex(profile.root_of_trust_sha256)) return absl::OkStatus();
  return Invalid("root_of_trust_sha256: must be 64 lower-case hexadecimal digits.");
}

// As a certificate's id.
bool IsManufacturerId(absl::string_view id) {
  const auto alphanumeric = [](char c) {
    return absl::ascii_islower(static_cast<unsigned char>(c)) ||
           absl::ascii_isdigit(static_cast<unsigned char>(c));
  };
  return id.size() <= 63 && alphanumeric(id.front()) && alphanumeric(id.back()) &&
         std::all_of(id.begin(), id.end(), [&](char c) { return alphanumeric(c) || c == '.' || c == '-'; });
}

absl::Status CheckOrganisations(absl::string_view field, const std::vector<std::string>& names) {
  if (names.size() > kMaxOrganisations) {
    return Invalid(absl::StrCat(field, ": must have at most ", kMaxOrganisations, " entries."));
  }
  for (const std::string& name : names) RETURN_IF_ERROR(CheckText(field, name, 1, 128));
  return absl::OkStatus();
}

absl::Status CheckPrivacy(const DataPrivacy& privacy) {
  RETURN_IF_ERROR(CheckStated("data_privacy.category", privacy.category, PrivacyCategory::kMedical));
  if (privacy.protection_level < 1 || privacy.protection_level > 5) {
    return Invalid("data_privacy.protection_level: must be 1 (least) to 5 (most).");
  }
  RETURN_IF_ERROR(CheckText("data_privacy.purpose", privacy.purpose, 0, 1000));
  if (privacy.retention_days < 0 || privacy.retention_days > kMaxRetentionDays) {
    return Invalid(absl::StrCat("data_privacy.retention_days: must be 0 to ", kMaxRetentionDays, "."));
  }
  RETURN_IF_ERROR(CheckOrganisations("data_privacy.collectors", privacy.collectors));
  RETURN_IF_ERROR(CheckOrganisations("data_privacy.shared_with", privacy.shared_with));
  if (!privacy.shared_with.empty() && !privacy.shared) {
    return Invalid("data_privacy.shared_with: names receivers of data that is not shared.");
  }
  const int collection_time = static_cast<int>(privacy.collection_time);
  if (collection_time < 0 || collection_time > static_cast<int>(CollectionTime::kOnRequest)) {
    return Invalid("data_privacy.collection_time: must be one of the API's values.");
  }
  if (privacy.countries.size() > kMaxCountries) {
    return Invalid(absl::StrCat("data_privacy.countries: must have at most ", kMaxCountries, " entries."));
  }
  for (const std::string& country : privacy.countries) {
    if (country.size() == 2 && std::all_of(country.begin(), country.end(), [](char c) {
          return absl::ascii_isupper(static_cast<unsigned char>(c));
        })) {
      continue;
    }
    return Invalid("data_privacy.countries: a country is two upper-case letters, as ISO 3166-1 has them.");
  }
  // Whoever handles data of people says who and why.
  if (privacy.category >= PrivacyCategory::kPersonal &&
      (privacy.purpose.empty() || privacy.collectors.empty())) {
    return Invalid("data_privacy: personal data needs a purpose and its collectors.");
  }
  return absl::OkStatus();
}

absl::Status CheckAeIds(const std::vector<std::string>& patterns) {
  if (patterns.size() > kMaxAeIds) {
    return Invalid(absl::StrCat("ae_ids: must have at most ", kMaxAeIds, " entries."));
  }
  for (const std::string& pattern : patterns) {
    if (onem2m::IsStemPattern(pattern)) continue;
    return Invalid(
        absl::StrCat("ae_ids: \"", pattern.substr(0, 64),
                     "\" is neither an AE-ID-stem (C... or S...) nor the beginning of one and a *."));
  }
  return absl::OkStatus();
}

nlohmann::json TimeJson(absl::Time time) {
  if (time == absl::InfinitePast() || time == absl::InfiniteFuture()) return nullptr;
  return absl::ToUnixMicros(time);
}

absl::Time TimeFrom(const nlohmann::json& json, absl::Time infinite) {
  return json.is_null() ? infinite : absl::FromUnixMicros(json.get<int64_t>());
}

template <typename Enum>
Enum EnumFrom(const nlohmann::json& json) {
  return static_cast<Enum>(json.get<int>());
}

nlohmann::json ToJson(const Profile& profile) {
  const DataPrivacy& privacy = profile.data_privacy;
  return {
      {"app_id", profile.app_id},
      {"application_type", profile.application_type},
      {"application_class", static_cast<int>(profile.application_class)},
      {"security_capability", static_cast<int>(profile.security_capability)},
      {"authentication_type", static_cast<int>(profile.authentication_type)},
      {"root_of_trust_sha256", profile.root_of_trust_sha256},
      {"communications_class", static_cast<int>(profile.communications_class)},
      {"data_model",
       {{"name", profile.data_model.name}, {"ontology_mapping", profile.data_model.ontology_mapping}}},
      {"data_privacy",
       {{"category", static_cast<int>(privacy.category)},
        {"protection_level", privacy.protection_level},
        {"purpose", privacy.purpose},
        {"retention_days", privacy.retention_days},
        {"shared", privacy.shared},
        {"collectors", privacy.collectors},
        {"collection_time", static_cast<int>(privacy.collection_time)},
        {"countries", privacy.countries},
        {"shared_with", privacy.shared_with}}},
      {"manufacturer", profile.manufacturer},
      {"not_before", TimeJson(profile.not_before)},
      {"not_after", TimeJson(profile.not_after)},
      {"ae_ids", profile.ae_ids},
      {"signed_terms_sha256",
       profile.signed_terms.empty() ? std::string() : crypto::Sha256Hex(profile.signed_terms)},
  };
}

}  // namespace

absl::Status CheckProfile(const Profile& profile) {
  ASSIGN_OR_RETURN(const onem2m::AppId app_id, onem2m::ParseAppId(profile.app_id));
  RETURN_IF_ERROR(onem2m::CheckRegisterable(app_id));
  RETURN_IF_ERROR(CheckText("application_type", profile.application_type, 1, 64));
  RETURN_IF_ERROR(
      CheckStated("application_class", profile.application_class, ApplicationClass::kCriticalInfrastructure));
  RETURN_IF_ERROR(
      CheckStated("security_capability", profile.security_capability, SecurityCapability::kSecureElement));
  RETURN_IF_ERROR(
      CheckStated("authentication_type", profile.authentication_type, AuthenticationType::kPreSharedKey));
  RETURN_IF_ERROR(CheckRootOfTrust(profile));
  RETURN_IF_ERROR(CheckStated("communications_class", profile.communications_class,
                              CommunicationsClass::kIntermittentBurst));
  RETURN_IF_ERROR(CheckText("data_model.name", profile.data_model.name, 1, 128));
  RETURN_IF_ERROR(CheckText("data_model.ontology_mapping", profile.data_model.ontology_mapping, 0, 256));
  RETURN_IF_ERROR(CheckPrivacy(profile.data_privacy));
  RETURN_IF_ERROR(CheckAeIds(profile.ae_ids));
  if (!profile.manufacturer.empty() && !IsManufacturerId(profile.manufacturer)) {
    return Invalid("manufacturer: must be the id of the manufacturer's certificate, or empty.");
  }
  if (profile.not_before >= profile.not_after) {
    return Invalid("not_after: must be later than not_before.");
  }
  if (profile.signed_terms.size() > onem2m::kMaxTermsBytes) {
    return Invalid(absl::StrCat("signed_terms: must have at most ", onem2m::kMaxTermsBytes, " bytes."));
  }
  return absl::OkStatus();
}

std::string ProfileJson(const Profile& profile) { return ToJson(profile).dump(); }

absl::StatusOr<Profile> ParseProfileJson(absl::string_view text) {
  const nlohmann::json json =
      nlohmann::json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  Profile profile;
  // nlohmann's only way to say that a value is of another type.
  try {
    profile.app_id = json.at("app_id");
    profile.application_type = json.at("application_type");
    profile.application_class = EnumFrom<ApplicationClass>(json.at("application_class"));
    profile.security_capability = EnumFrom<SecurityCapability>(json.at("security_capability"));
    profile.authentication_type = EnumFrom<AuthenticationType>(json.at("authentication_type"));
    profile.root_of_trust_sha256 = json.at("root_of_trust_sha256");
    profile.communications_class = EnumFrom<CommunicationsClass>(json.at("communications_class"));
    profile.data_model = {json.at("data_model").at("name"), json.at("data_model").at("ontology_mapping")};
    const nlohmann::json& from = json.at("data_privacy");
    DataPrivacy& privacy = profile.data_privacy;
    privacy.category = EnumFrom<PrivacyCategory>(from.at("category"));
    privacy.protection_level = from.at("protection_level");
    privacy.purpose = from.at("purpose");
    privacy.retention_days = from.at("retention_days");
    privacy.shared = from.at("shared");
    privacy.collectors = from.at("collectors").get<std::vector<std::string>>();
    privacy.collection_time = EnumFrom<CollectionTime>(from.at("collection_time"));
    privacy.countries = from.at("countries").get<std::vector<std::string>>();
    privacy.shared_with = from.at("shared_with").get<std::vector<std::string>>();
    profile.manufacturer = json.at("manufacturer");
    profile.not_before = TimeFrom(json.at("not_before"), absl::InfinitePast());
    profile.not_after = TimeFrom(json.at("not_after"), absl::InfiniteFuture());
    profile.ae_ids = json.at("ae_ids").get<std::vector<std::string>>();
  } catch (const nlohmann::json::exception& error) {
    return absl::InternalError(absl::StrCat("a stored profile cannot be read: ", error.what()));
  }
  return profile;
}

std::string ProfileDigest(const Profile& profile) {
  return crypto::Sha256Hex(trust::CanonicalJson(ToJson(profile)));
}

}  // namespace countersign::appid_registry::domain
