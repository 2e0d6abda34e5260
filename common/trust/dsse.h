#ifndef COUNTERSIGN_COMMON_TRUST_DSSE_H_
#define COUNTERSIGN_COMMON_TRUST_DSSE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/crypto/signer.h"
#include "common/crypto/verifier.h"
#include "common/trust/envelope.h"
#include "common/trust/keys.h"

namespace countersign::trust {

// DSSE (Dead Simple Signing Envelope, v1): {"payload": base64, "payloadType", "signatures": [{"keyid", "sig":
// base64}]}.
struct DsseEnvelope {
  std::string payload_type;
  std::string payload;
  std::vector<Signature> signatures;

  // INVALID_ARGUMENT (MALFORMED_METADATA) if it is none, RESOURCE_EXHAUSTED beyond 64 KiB or 16 signatures.
  static absl::StatusOr<DsseEnvelope> Parse(absl::string_view bytes);
  std::string Serialise() const;

  // Signs; replaces a signature of the same key.
  absl::Status Sign(const crypto::Signer& signer);
};

// DSSE's pre-authentication encoding: the bytes that are signed.
std::string DssePreAuthEncoding(absl::string_view payload_type, absl::string_view payload);

inline constexpr char kInTotoPayloadType[] = "application/vnd.in-toto+json";
inline constexpr char kInTotoStatementType[] = "https://in-toto.io/Statement/v1";
inline constexpr char kApprovalPredicateType[] = "https://countersign.dev/approval/v1";

// The Management Authority's approval of exactly one image for one place (SC-GEN-11, SC-MA), an in-toto
// statement.
struct ApprovalStatement {
  std::string sha256;  // the subject: the image, hex
  std::string target_path;
  int64_t role_version = 0;  // of the manufacturer's role that the authority signed with it
  std::vector<std::string> hardware_ids;
  int64_t release_counter = 0;
  absl::Time valid_from;
  absl::Time valid_until;

  // INVALID_ARGUMENT (MALFORMED_METADATA).
  static absl::StatusOr<ApprovalStatement> Parse(const DsseEnvelope& envelope);
  // Unsigned.
  DsseEnvelope ToEnvelope() const;
};

// What a device finds about an image it was given. CARD_ABSENT and CARD_ERROR come from a verifier that is a
// card.
enum class ApprovalResult {
  kApproved,
  kNoStatement,
  kBadSignature,
  kDigestMismatch,
  kWrongTarget,
  kExpired,
  kUnknownKey,
  kCardAbsent,
  kCardError,
};

// "APPROVED", "NO_STATEMENT", ...
absl::string_view ApprovalResultName(ApprovalResult result);

// Whether the device must reject, whatever its policy says (BAD_SIGNATURE, DIGEST_MISMATCH).
bool MustReject(ApprovalResult result);

// The image as the device has it.
struct ApprovalSubject {
  std::string sha256;  // measured, hex
  std::string target_path;
  std::string hardware_id;      // the component's
  int64_t release_counter = 0;  // of the target; 0 if it is not known, e.g. from a memory card (SC-ALT)
};

// Checks `statement_bytes` (empty: NO_STATEMENT; nonsense: BAD_SIGNATURE) against the authority's keys and
// `subject`. Does not ask where the image came from (SC-ALT).
ApprovalResult CheckApproval(absl::string_view statement_bytes, const KeyMap& authority_keys,
                             const ApprovalSubject& subject, absl::Time now);

// The same with what only `verifier` knows, e.g. the smart card of the device (SC-GEN-11,
// crypto::pkcs11::Pkcs11Verifier): the authority's public keys, or a secret that card and authority share.
ApprovalResult CheckApproval(absl::string_view statement_bytes, const crypto::Verifier& verifier,
                             const ApprovalSubject& subject, absl::Time now);

}  // namespace countersign::trust

#endif  // COUNTERSIGN_COMMON_TRUST_DSSE_H_
