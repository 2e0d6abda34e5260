#ifndef COUNTERSIGN_SERVICES_APPID_REGISTRY_API_CONVERT_H_
#define COUNTERSIGN_SERVICES_APPID_REGISTRY_API_CONVERT_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "countersign/appid_registry/v1/appid_registry.pb.h"
#include "services/appid_registry/domain/answer.h"
#include "services/appid_registry/domain/life.h"
#include "services/appid_registry/domain/profile.h"
#include "services/appid_registry/domain/registrant.h"
#include "services/appid_registry/storage/profile_store.h"

// The API's messages and the domain's values, both ways.
namespace countersign::appid_registry {

v1::Profile ToProto(const domain::Registration& registration);
v1::ProfileVersion ToProto(const ProfileVersion& version);
v1::ProfileEvent ToProto(const domain::Event& event);
v1::Registrant ToProto(const domain::Registrant& registrant);
v1::IssuedAppId ToProto(const IssuedAppId& issued);
v1::Finding ToProto(const domain::Finding& finding);
google::protobuf::Timestamp ToProto(absl::Time time);

// The App-ID in `profiles/{app_id}`, as it is registered. INVALID_ARGUMENT (NAME_INVALID, APP_ID_MALFORMED).
absl::StatusOr<std::string> ParseProfileName(absl::string_view name);
// The id in `registrants/{id}`. INVALID_ARGUMENT (NAME_INVALID).
absl::StatusOr<std::string> ParseRegistrantName(absl::string_view name);
// The revision that an etag stands for; nullopt for "". ABORTED (ETAG_MISMATCH) for what is no etag.
absl::StatusOr<std::optional<int64_t>> ParseEtag(absl::string_view etag);

// What a request wants to be registered; what is output only is left out. INVALID_ARGUMENT (NAME_INVALID,
// PROFILE_INVALID); the rules of the domain are still to be checked.
absl::StatusOr<domain::Profile> FromProto(const v1::Profile& profile);
absl::StatusOr<domain::Registrant> FromProto(const v1::Registrant& registrant);
absl::StatusOr<ProfileFilter> FromProto(const v1::ListProfilesRequest& request);
domain::Asked FromProto(const v1::VerifyIdentityRequest& request);

}  // namespace countersign::appid_registry

#endif  // COUNTERSIGN_SERVICES_APPID_REGISTRY_API_CONVERT_H_
