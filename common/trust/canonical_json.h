#ifndef COUNTERSIGN_COMMON_TRUST_CANONICAL_JSON_H_
#define COUNTERSIGN_COMMON_TRUST_CANONICAL_JSON_H_

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json_fwd.hpp"

namespace countersign::trust {

// How much of a stranger's JSON is read.
struct JsonLimits {
  size_t max_bytes = 8 << 20;
  int max_depth = 24;             // arrays and objects within each other
  size_t max_values = 2'000'000;  // values of any kind, keys not counted
};

// Reads JSON as metadata may contain it: one value, no floating-point numbers, integers that fit in int64, no
// key twice in an object, and strings and keys of printable ASCII (and newlines, which PEM has). Never
// throws. INVALID_ARGUMENT (MALFORMED_METADATA) with the place of the fault, RESOURCE_EXHAUSTED
// (LENGTH_EXCEEDED, LIMIT_EXCEEDED).
absl::StatusOr<nlohmann::json> ParseStrictJson(absl::string_view text, const JsonLimits& limits = {});

// Whether ParseStrictJson() would accept `value` once written, nulls excepted: what must hold before anything
// is signed. INVALID_ARGUMENT (MALFORMED_METADATA).
absl::Status CheckStrict(const nlohmann::json& value);

// The bytes that are signed: OLPC canonical JSON (http://wiki.laptop.org/go/Canonical_JSON). `value` must
// hold no floating-point number. It differs from CompactJson() only in that control characters are not
// escaped, so that with a PEM in it it is not JSON: sign it, do not serve it.
std::string CanonicalJson(const nlohmann::json& value);

// The bytes that are served: keys sorted, no white space.
std::string CompactJson(const nlohmann::json& value);

}  // namespace countersign::trust

#endif  // COUNTERSIGN_COMMON_TRUST_CANONICAL_JSON_H_
