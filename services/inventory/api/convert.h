#ifndef COUNTERSIGN_SERVICES_INVENTORY_API_CONVERT_H_
#define COUNTERSIGN_SERVICES_INVENTORY_API_CONVERT_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "countersign/inventory/v1/inventory.pb.h"
#include "google/protobuf/message_lite.h"
#include "services/inventory/domain/component.h"
#include "services/inventory/storage/manifest_writer.h"

// The API's messages and the domain's values, both ways.
namespace countersign::inventory {

v1::Gateway ToProto(const domain::Gateway& gateway);
v1::Device ToProto(const domain::Device& device);
v1::Component ToProto(const domain::Component& component);
v1::ComponentChange ToProto(const domain::ComponentChange& change);
v1::RefusedReport ToProto(const domain::RefusedReport& report);
v1::ComponentResult ToProto(const ReportOutcome& outcome);
v1::Component::State ToProto(domain::State state);

google::protobuf::Timestamp ToProto(absl::Time time);
google::protobuf::Duration ToProto(absl::Duration duration);

// What a request wants to be provisioned; what is output only is left out. INVALID_ARGUMENT; the rules of the
// domain are still to be checked.
absl::StatusOr<domain::Gateway> FromProto(const v1::Gateway& gateway, absl::Time now);
absl::StatusOr<domain::Device> FromProto(const v1::Device& device, absl::Time now);

}  // namespace countersign::inventory

#endif  // COUNTERSIGN_SERVICES_INVENTORY_API_CONVERT_H_
