#ifndef COUNTERSIGN_COMMON_STATUS_ERRORS_H_
#define COUNTERSIGN_COMMON_STATUS_ERRORS_H_

#include <map>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace countersign {

// The domain of every ErrorInfo that this product makes.
inline constexpr char kErrorDomain[] = "countersign";

// The payload's key in absl::Status; its value is a serialised google.rpc.ErrorInfo, so that a gRPC layer can
// put the bytes into an Any as they are.
inline constexpr char kErrorInfoTypeUrl[] = "type.googleapis.com/google.rpc.ErrorInfo";

// google.rpc.ErrorInfo: what a program needs to know about an error.
struct ErrorInfo {
  std::string reason;  // UPPER_SNAKE_CASE
  std::string domain;
  std::map<std::string, std::string> metadata;
};

// A status with an ErrorInfo. `reason` is UPPER_SNAKE_CASE and stable: programs compare it. `message` is for
// people and says what to do. `code` must not be kOk.
absl::Status Error(absl::StatusCode code, absl::string_view reason, absl::string_view message,
                   const std::map<std::string, std::string>& metadata = {});

// The ErrorInfo that `status` carries; nullopt if it carries none, or one that cannot be read.
std::optional<ErrorInfo> ErrorInfoOf(const absl::Status& status);

// The reason that `status` carries; empty if it is OK or carries none.
std::string ReasonOf(const absl::Status& status);

// `status` with "`prefix`: " before its message; code and payloads stay. OK stays OK.
absl::Status Annotate(const absl::Status& status, absl::string_view prefix);

}  // namespace countersign

#endif  // COUNTERSIGN_COMMON_STATUS_ERRORS_H_
