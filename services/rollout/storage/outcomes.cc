#include "services/rollout/storage/outcomes.h"

#include "nlohmann/json.hpp"

namespace countersign::rollout {

bool IsFailure(AssignmentState state) {
  return state == AssignmentState::kFailed || state == AssignmentState::kRolledBack;
}

std::string EncodeFailure(const FailedUpdate& failure) {
  const nlohmann::json json = {{"gateway", failure.gateway},       {"ecu_serial", failure.ecu_serial},
                               {"rollout", failure.rollout},       {"state", static_cast<int>(failure.state)},
                               {"reason", failure.failure_reason}, {"detail", failure.detail},
                               {"version", failure.version}};
  // A gateway's words may hold bytes that are no UTF-8.
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

absl::StatusOr<FailedUpdate> DecodeFailure(absl::string_view payload) {
  const nlohmann::json json =
      nlohmann::json::parse(payload.begin(), payload.end(), /*cb=*/nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return absl::InternalError("an event of the outbox is no failure");
  FailedUpdate failure;
  failure.gateway = json.value("gateway", "");
  failure.ecu_serial = json.value("ecu_serial", "");
  failure.rollout = json.value("rollout", "");
  failure.state = static_cast<AssignmentState>(json.value("state", 0));
  failure.failure_reason = json.value("reason", 0);
  failure.detail = json.value("detail", "");
  failure.version = json.value("version", "");
  return failure;
}

}  // namespace countersign::rollout
