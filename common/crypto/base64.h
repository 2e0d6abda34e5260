#ifndef COUNTERSIGN_COMMON_CRYPTO_BASE64_H_
#define COUNTERSIGN_COMMON_CRYPTO_BASE64_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace countersign::crypto {

// `bytes` in standard Base64 with padding (RFC 4648, 4).
std::string Base64Encode(absl::string_view bytes);

// The bytes that `text` stands for. Strict: no white space, padding as Base64Encode writes it, no stray bits,
// so that only one text stands for given bytes. INVALID_ARGUMENT otherwise.
absl::StatusOr<std::string> Base64Decode(absl::string_view text);

}  // namespace countersign::crypto

#endif  // COUNTERSIGN_COMMON_CRYPTO_BASE64_H_
