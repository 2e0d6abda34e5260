#include "tools/device/state_file.h"

#include "absl/strings/str_cat.h"
#include "common/file/file.h"
#include "common/status/errors.h"
#include "common/status/macros.h"

namespace countersign::device {

absl::StatusOr<nlohmann::json> ReadState(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  nlohmann::json parsed = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (parsed.is_object()) return parsed;
  return Error(absl::StatusCode::kDataLoss, "STATE_DAMAGED", absl::StrCat(path, " is not a JSON object"));
}

}  // namespace countersign::device
