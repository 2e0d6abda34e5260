#ifndef COUNTERSIGN_COMMON_CRYPTO_RANDOM_H_
#define COUNTERSIGN_COMMON_CRYPTO_RANDOM_H_

#include <cstddef>
#include <string>

namespace countersign::crypto {

// Bytes that nobody can guess, from OpenSSL's generator. Thread-safe. Ends the process if the machine has no
// entropy: there is nothing safe to go on with.
std::string RandomBytes(size_t count);

// `bytes` random bytes as 2 * `bytes` lower-case hex digits.
std::string RandomHex(size_t bytes);

// A random UUID (RFC 4122 version 4), e.g. "0b9f2c5e-6a3d-4c1b-9e57-3f0a8d2b4c66".
std::string Uuid();

}  // namespace countersign::crypto

#endif  // COUNTERSIGN_COMMON_CRYPTO_RANDOM_H_
