// Between countersign.liaison.v1 and liaison's values.
#ifndef COUNTERSIGN_SERVICES_LIAISON_API_CONVERT_H_
#define COUNTERSIGN_SERVICES_LIAISON_API_CONVERT_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "countersign/liaison/v1/liaison.pb.h"
#include "services/liaison/domain/values.h"

namespace countersign::liaison {

// INVALID_ARGUMENT (MANUFACTURER_INVALID, NAME_INVALID) that names the field.
absl::StatusOr<domain::Manufacturer> FromProto(const v1::Manufacturer& proto, absl::Time now);
v1::Manufacturer ToProto(const domain::Manufacturer& manufacturer);

// A release of `manufacturer` with what it says of itself, checked. INVALID_ARGUMENT (NAME_INVALID,
// RELEASE_INVALID, NOTICE_INCOMPLETE), also when its target path is another manufacturer's.
absl::StatusOr<domain::Release> MakeRelease(absl::string_view manufacturer, absl::string_view release_id,
                                            const common::v1::ReleaseInfo& info, absl::Time now);
v1::Release ToProto(const domain::Release& release);

// INVALID_ARGUMENT (NOTICE_INVALID).
absl::StatusOr<domain::Notice> FromProto(absl::string_view manufacturer, const v1::Notice& proto,
                                         absl::Time now);
v1::Notice ToProto(const domain::Notice& notice);

domain::Installed FromProto(const v1::InstalledComponent& proto);

}  // namespace countersign::liaison

#endif  // COUNTERSIGN_SERVICES_LIAISON_API_CONVERT_H_
