#include "common/crypto/base64.h"

#include "absl/strings/escaping.h"

namespace countersign::crypto {

std::string Base64Encode(absl::string_view bytes) { return absl::Base64Escape(bytes); }

absl::StatusOr<std::string> Base64Decode(absl::string_view text) {
  std::string bytes;
  // Abseil forgives white space and missing padding; writing it again does not.
  if (!absl::Base64Unescape(text, &bytes) || absl::Base64Escape(bytes) != text) {
    return absl::InvalidArgumentError("not standard Base64 with padding and without white space");
  }
  return bytes;
}

}  // namespace countersign::crypto
