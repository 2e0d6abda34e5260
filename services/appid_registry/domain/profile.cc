#include "services/appid_registry/domain/profile.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/crypto/digest.h"
#include "common/crypto/hex.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/trust/canonical_json.h"
#include "nlohmann/json.hpp"
#include "services/appid_registry/domain/identifiers.h"

namespace countersign::appid_registry::domain {
namespace {

constexpr int kMaxRetentionDays = 36500;

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

}  // namespace

absl::Status CheckProfile(const Profile& profile) {
  ASSIGN_OR_RETURN(const AppId app_id, ParseAppId(profile.app_id));
  RETURN_IF_ERROR(CheckRegisterable(app_id));
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
  RETURN_IF_ERROR(
      CheckStated("data_privacy.category", profile.data_privacy.category, PrivacyCategory::kMedical));
  if (profile.data_privacy.protection_level < 1 || profile.data_privacy.protection_level > 5) {
    return Invalid("data_privacy.protection_level: must be 1 (least) to 5 (most).");
  }
  RETURN_IF_ERROR(CheckText("data_privacy.purpose", profile.data_privacy.purpose, 0, 1000));
  if (profile.data_privacy.retention_days < 0 || profile.data_privacy.retention_days > kMaxRetentionDays) {
    return Invalid(absl::StrCat("data_privacy.retention_days: must be 0 to ", kMaxRetentionDays, "."));
  }
  if (!profile.manufacturer.empty() && !IsManufacturerId(profile.manufacturer)) {
    return Invalid("manufacturer: must be the id of the manufacturer's certificate, or empty.");
  }
  return absl::OkStatus();
}

std::string ProfileDigest(const Profile& profile) {
  const nlohmann::json json = {
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
       {{"category", static_cast<int>(profile.data_privacy.category)},
        {"protection_level", profile.data_privacy.protection_level},
        {"purpose", profile.data_privacy.purpose},
        {"retention_days", profile.data_privacy.retention_days},
        {"shared", profile.data_privacy.shared}}},
      {"manufacturer", profile.manufacturer},
  };
  return crypto::Sha256Hex(trust::CanonicalJson(json));
}

}  // namespace countersign::appid_registry::domain
