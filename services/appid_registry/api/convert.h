#ifndef COUNTERSIGN_SERVICES_APPID_REGISTRY_API_CONVERT_H_
#define COUNTERSIGN_SERVICES_APPID_REGISTRY_API_CONVERT_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "countersign/appid_registry/v1/appid_registry.pb.h"
#include "services/appid_registry/domain/answer.h"
#include "services/appid_registry/domain/profile.h"

// The API's messages and the domain's values, both ways.
namespace countersign::appid_registry {

v1::Profile ToProto(const domain::Profile& profile);
v1::Finding ToProto(const domain::Finding& finding);
google::protobuf::Timestamp ToProto(absl::Time time);

// The App-ID in `profiles/{app_id}`, as it is registered. INVALID_ARGUMENT (NAME_INVALID, APP_ID_MALFORMED).
absl::StatusOr<std::string> ParseProfileName(absl::string_view name);

// What a request wants to be registered; what is output only is left out. INVALID_ARGUMENT (NAME_INVALID);
// the rules of the domain are still to be checked.
absl::StatusOr<domain::Profile> FromProto(const v1::Profile& profile, absl::Time now);

}  // namespace countersign::appid_registry

#endif  // COUNTERSIGN_SERVICES_APPID_REGISTRY_API_CONVERT_H_
