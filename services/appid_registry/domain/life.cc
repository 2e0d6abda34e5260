#include "services/appid_registry/domain/life.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "common/status/errors.h"

namespace countersign::appid_registry::domain {
namespace {

constexpr size_t kMaxReason = 1000;

absl::Status NotAllowed(absl::string_view message) {
  return Error(absl::StatusCode::kFailedPrecondition, "STATE_NOT_ALLOWED", message);
}

}  // namespace

absl::StatusOr<State> StateAfter(State state, EventKind kind) {
  if (state == State::kRevoked) {
    return Error(
        absl::StatusCode::kFailedPrecondition, "PROFILE_REVOKED",
        "The registration is revoked, which is for good: register the application under another App-ID.");
  }
  switch (kind) {
    case EventKind::kRegistered:
      return NotAllowed("The App-ID is registered already.");
    case EventKind::kUpdated:
      return state;
    case EventKind::kSuspended:
      if (state == State::kSuspended) return NotAllowed("The registration is suspended already.");
      return State::kSuspended;
    case EventKind::kReinstated:
      if (state == State::kRegistered) return NotAllowed("The registration is not suspended.");
      return State::kRegistered;
    case EventKind::kRevoked:
      return State::kRevoked;
  }
  return NotAllowed("Nothing of that kind can be done to a registration.");
}

absl::Status CheckReason(absl::string_view reason) {
  if (!reason.empty() && reason.size() <= kMaxReason &&
      std::none_of(reason.begin(), reason.end(),
                   [](char c) { return absl::ascii_iscntrl(static_cast<unsigned char>(c)); })) {
    return absl::OkStatus();
  }
  return Error(absl::StatusCode::kInvalidArgument, "REASON_INVALID",
               "reason: must say why, in 1 to 1,000 characters without control characters.");
}

}  // namespace countersign::appid_registry::domain
