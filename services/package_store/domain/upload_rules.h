#ifndef COUNTERSIGN_SERVICES_PACKAGE_STORE_DOMAIN_UPLOAD_RULES_H_
#define COUNTERSIGN_SERVICES_PACKAGE_STORE_DOMAIN_UPLOAD_RULES_H_

#include <cstdint>

#include "absl/status/status.h"

namespace countersign::package_store {

// An image has 1 to 2^40 bytes. INVALID_ARGUMENT (LENGTH_INVALID).
absl::Status CheckImageLength(int64_t length_bytes);

// Whether `length_bytes` more fit beside what a manufacturer has stored and promised to upload.
// RESOURCE_EXHAUSTED (QUOTA_EXCEEDED).
absl::Status CheckQuota(int64_t used_bytes, int64_t length_bytes, int64_t quota_bytes);

// Whether `size` bytes at `offset` go on where an upload of `length_bytes` stands at `committed_bytes`.
// OUT_OF_RANGE (OFFSET_MISMATCH, with `committed_bytes` in its metadata), INVALID_ARGUMENT (CHUNK_INVALID,
// LENGTH_EXCEEDED).
absl::Status CheckChunk(int64_t committed_bytes, int64_t length_bytes, int64_t offset, int64_t size);

// The part of an image of `length_bytes` that `offset` and `wanted_bytes` (0: all that follows) ask for: how
// many bytes; at most what is there. OUT_OF_RANGE (RANGE_INVALID), INVALID_ARGUMENT for negative numbers.
absl::Status CheckRange(int64_t length_bytes, int64_t offset, int64_t wanted_bytes, int64_t* count);

}  // namespace countersign::package_store

#endif  // COUNTERSIGN_SERVICES_PACKAGE_STORE_DOMAIN_UPLOAD_RULES_H_
