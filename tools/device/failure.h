// From the reasons of common/trust to the failure vocabulary of the API.
#ifndef COUNTERSIGN_TOOLS_DEVICE_FAILURE_H_
#define COUNTERSIGN_TOOLS_DEVICE_FAILURE_H_

#include "absl/status/status.h"
#include "countersign/common/v1/update.pb.h"

namespace countersign::device {

// Why an installation that ended with `status` failed. UNSPECIFIED when OK.
common::v1::FailureReason FailureReasonOf(const absl::Status& status);

}  // namespace countersign::device

#endif  // COUNTERSIGN_TOOLS_DEVICE_FAILURE_H_
