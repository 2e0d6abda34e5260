// JSON files in which the device keeps what it must not forget.
#ifndef COUNTERSIGN_TOOLS_DEVICE_STATE_FILE_H_
#define COUNTERSIGN_TOOLS_DEVICE_STATE_FILE_H_

#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/statusor.h"

namespace countersign::device {

// The JSON object in the file at `path`. NOT_FOUND, DATA_LOSS (STATE_DAMAGED).
absl::StatusOr<nlohmann::json> ReadState(const std::string& path);

}  // namespace countersign::device

#endif  // COUNTERSIGN_TOOLS_DEVICE_STATE_FILE_H_
