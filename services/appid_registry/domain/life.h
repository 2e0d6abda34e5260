#ifndef COUNTERSIGN_SERVICES_APPID_REGISTRY_DOMAIN_LIFE_H_
#define COUNTERSIGN_SERVICES_APPID_REGISTRY_DOMAIN_LIFE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "services/appid_registry/domain/profile.h"

// The life of a registration, and what is remembered of it.
namespace countersign::appid_registry::domain {

// What can be done to a registration; the numbers are stored, and are those of the API.
enum class EventKind { kRegistered = 1, kUpdated = 2, kSuspended = 3, kReinstated = 4, kRevoked = 5 };

struct Event {
  EventKind kind = EventKind::kRegistered;
  absl::Time time;
  std::string actor;   // "registrar/ara"
  std::string reason;  // empty for registrations and updates
  int version = 1;     // the latest then
  int64_t revision = 1;
};

// The state after `kind` from `state`. FAILED_PRECONDITION: PROFILE_REVOKED for whatever comes after a
// revocation, STATE_NOT_ALLOWED for the rest.
absl::StatusOr<State> StateAfter(State state, EventKind kind);

// INVALID_ARGUMENT (REASON_INVALID) unless `reason` has 1 to 1,000 bytes without control characters.
absl::Status CheckReason(absl::string_view reason);

}  // namespace countersign::appid_registry::domain

#endif  // COUNTERSIGN_SERVICES_APPID_REGISTRY_DOMAIN_LIFE_H_
