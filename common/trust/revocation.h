#ifndef COUNTERSIGN_COMMON_TRUST_REVOCATION_H_
#define COUNTERSIGN_COMMON_TRUST_REVOCATION_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/trust/dsse.h"

namespace countersign::trust {

inline constexpr char kRevocationPredicateType[] = "https://countersign.dev/revocation/v1";
inline constexpr size_t kMaxRevocationReason = 2000;  // bytes

// The Management Authority's word that it has taken back its approval of exactly one image in one place, an
// in-toto statement. Beside the approval it names the role version that published the package, so that a
// statement that was never used says nothing about a later publication of the same path.
struct RevocationStatement {
  std::string sha256;  // the subject: the image, hex
  std::string target_path;
  int64_t role_version = 0;
  std::string reason;
  absl::Time revoked_at;  // in seconds

  // INVALID_ARGUMENT (MALFORMED_METADATA).
  static absl::StatusOr<RevocationStatement> Parse(const DsseEnvelope& envelope);
  // Unsigned.
  DsseEnvelope ToEnvelope() const;
};

}  // namespace countersign::trust

#endif  // COUNTERSIGN_COMMON_TRUST_REVOCATION_H_
