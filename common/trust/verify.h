#ifndef COUNTERSIGN_COMMON_TRUST_VERIFY_H_
#define COUNTERSIGN_COMMON_TRUST_VERIFY_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/trust/envelope.h"
#include "common/trust/keys.h"
#include "common/trust/metadata.h"

// The checks that a repository makes before it publishes, and a client before it believes. Pure functions.

namespace countersign::trust {

// OK if at least `role.threshold` distinct keys of `role` have signed `envelope`. Keys count once however
// many ids they have. Signatures of strangers are ignored. SIGNATURE_INVALID if a role's key has a signature
// that does not verify and the rest is not enough, THRESHOLD_NOT_MET if there are too few.
absl::Status VerifyThreshold(const Envelope& envelope, const KeyMap& keys, const RoleKeys& role);

// How many distinct keys of `role` have a valid signature on `envelope`: for "1 of 2 have signed".
int CountSignatures(const Envelope& envelope, const KeyMap& keys, const RoleKeys& role);

// EXPIRED_METADATA if `now` is not before `expires`. `what` names the document in the message.
absl::Status CheckNotExpired(absl::string_view what, absl::Time expires, absl::Time now);

// A root that is trusted because somebody brought it, e.g. with the device: it must meet its own threshold.
absl::StatusOr<Root> VerifyFirstRoot(absl::string_view bytes);

// The root that follows `current`: version exactly N+1 (ROOT_VERSION_SKIPPED, METADATA_ROLLBACK), signed by
// the thresholds of `current` and of itself. Does not look at expiry: an expired root may still be followed
// by the next.
absl::StatusOr<Root> VerifyRootSuccession(const Root& current, absl::string_view next_bytes);

struct VerifiedTargets {
  Envelope envelope;
  Targets targets;
};

// What a repository checks before it publishes a new version of the delegated role `role_name`: that `parent`
// delegates to it (UNKNOWN_ROLE), that its threshold has signed, that it has not expired, that its version
// rises over `previous`'s (METADATA_ROLLBACK; `previous` is the published version, or nullptr), and
// CheckTargets() with the delegation's paths.
absl::StatusOr<VerifiedTargets> VerifyDelegatedTargets(const Delegations& parent, absl::string_view role_name,
                                                       absl::string_view bytes, const Targets* previous,
                                                       absl::Time now);

// The rules for what a manufacturer's role may say, whoever has signed it so far (also for a proposal that
// still lacks the authority's signature): no further delegations (PATH_NOT_DELEGATED); every path within
// `delegation` (PATH_NOT_DELEGATED); releaseCounter (RELEASE_COUNTER_MISSING) and hardwareIds
// (HARDWARE_IDS_MISSING) given; no ecuIdentifiers; a path that was in `previous` keeps its bytes
// (TARGET_CHANGED), and its counter does not fall; a new path's counter is not below that of any target in
// the same folder for the same hardware (ROLLBACK_ATTEMPT).
absl::Status CheckTargets(const Delegation& delegation, const Targets& next, const Targets* previous);

}  // namespace countersign::trust

#endif  // COUNTERSIGN_COMMON_TRUST_VERIFY_H_
