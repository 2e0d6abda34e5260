#ifndef COUNTERSIGN_COMMON_CRYPTO_CHAIN_H_
#define COUNTERSIGN_COMMON_CRYPTO_CHAIN_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"

namespace countersign::crypto {

// One certificate of a chain that somebody presented, and what it says.
struct ChainCertificate {
  std::string der;
  std::string sha256;             // hex, of the DER
  std::string public_key_sha256;  // hex, of its SubjectPublicKeyInfo in DER
  std::vector<std::string> uris;  // URI SANs
  absl::Time not_before;
  absl::Time not_after;
  bool is_authority = false;  // may sign certificates (basic constraints, key usage)
  bool self_signed = false;
  // Whether the next one of the chain has signed it, and may.
  bool signed_by_next = false;
};

inline constexpr size_t kMaxChainLength = 8;
inline constexpr size_t kMaxCertificateBytes = 16384;

// Reads a chain, the leaf first: each element one certificate in DER, or one or more in PEM. At most
// kMaxChainLength certificates of kMaxCertificateBytes. Signatures are verified, times and trust are not:
// that is for who knows what the chain must end in. INVALID_ARGUMENT (CREDENTIAL_MALFORMED).
absl::StatusOr<std::vector<ChainCertificate>> ParseChain(absl::Span<const std::string> certificates);

}  // namespace countersign::crypto

#endif  // COUNTERSIGN_COMMON_CRYPTO_CHAIN_H_
