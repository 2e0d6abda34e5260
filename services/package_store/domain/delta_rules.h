#ifndef COUNTERSIGN_SERVICES_PACKAGE_STORE_DOMAIN_DELTA_RULES_H_
#define COUNTERSIGN_SERVICES_PACKAGE_STORE_DOMAIN_DELTA_RULES_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace countersign::package_store {

// OK for two digests of different images. INVALID_ARGUMENT (NAME_INVALID, SAME_IMAGE).
absl::Status CheckDeltaPair(absl::string_view base_sha256, absl::string_view sha256);

// The longest delta that is worth its while: it saves at least a third of an image of `length_bytes`.
int64_t MaxDeltaBytes(int64_t length_bytes);

// Whether `waiting` deltas of all callers, of which `own` are this one's, leave room for one more.
// RESOURCE_EXHAUSTED (TOO_MANY_DELTAS).
absl::Status CheckDeltaQueue(int64_t own, int64_t max_own, int64_t waiting, int64_t max_waiting);

// When a delta may be there, before which `bytes` of images are to be read, its own included: 1 to 60
// seconds.
absl::Duration DeltaDelay(int64_t bytes);

}  // namespace countersign::package_store

#endif  // COUNTERSIGN_SERVICES_PACKAGE_STORE_DOMAIN_DELTA_RULES_H_
