// The device in the words of its link.
#ifndef COUNTERSIGN_TOOLS_DEVICE_DESCRIBE_H_
#define COUNTERSIGN_TOOLS_DEVICE_DESCRIBE_H_

#include <string>

#include "countersign/device/v1/device.pb.h"
#include "tools/device/device.h"

namespace countersign::device {

v1::GetDescriptionResponse Describe(const Device& device);

// "CARD_ABSENT" as the API has it; UNSPECIFIED for "".
v1::ApprovalResult ToApprovalResult(const std::string& name);

}  // namespace countersign::device

#endif  // COUNTERSIGN_TOOLS_DEVICE_DESCRIBE_H_
