// Passwords and PINs at rest.
#ifndef COUNTERSIGN_COMMON_CRYPTO_PASSWORD_H_
#define COUNTERSIGN_COMMON_CRYPTO_PASSWORD_H_

#include <string>

#include "absl/strings/string_view.h"

namespace countersign::crypto {

// scrypt (RFC 7914) of `password` with a salt of its own, and all that is needed to compare:
// "scrypt$16384$8$1$<salt>$<hash>", the last two in hex. Takes some 50 ms and 16 MiB.
std::string HashPassword(absl::string_view password);

// Whether `hash` is what HashPassword made of `password`. False, too, for a hash that is none, or that would
// take more than four times what HashPassword takes.
bool VerifyPassword(absl::string_view password, absl::string_view hash);

}  // namespace countersign::crypto

#endif  // COUNTERSIGN_COMMON_CRYPTO_PASSWORD_H_
