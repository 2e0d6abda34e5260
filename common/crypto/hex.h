#ifndef COUNTERSIGN_COMMON_CRYPTO_HEX_H_
#define COUNTERSIGN_COMMON_CRYPTO_HEX_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace countersign::crypto {

// `bytes` in lower-case hex digits.
std::string HexEncode(absl::string_view bytes);

// The bytes that `hex` (either case) stands for. INVALID_ARGUMENT if its length is odd or a digit is none.
absl::StatusOr<std::string> HexDecode(absl::string_view hex);

// Whether `text` is exactly `digits` lower-case hex digits.
bool IsLowerHex(absl::string_view text, size_t digits);

// Whether `text` is a SHA-256 as this product writes it: 64 lower-case hex digits.
inline bool IsSha256Hex(absl::string_view text) { return IsLowerHex(text, 64); }

}  // namespace countersign::crypto

#endif  // COUNTERSIGN_COMMON_CRYPTO_HEX_H_
