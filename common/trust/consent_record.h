#ifndef COUNTERSIGN_COMMON_TRUST_CONSENT_RECORD_H_
#define COUNTERSIGN_COMMON_TRUST_CONSENT_RECORD_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/crypto/public_key.h"
#include "common/trust/envelope.h"

namespace countersign::trust {

// What the user (or a standing policy of theirs) decided about an update (PLUS-2): an Envelope of type
// "consent-record", signed by the consent service. Enumerations are their names, as in the consent service's
// API.
struct ConsentRecord {
  static constexpr char kType[] = "consent-record";

  // How far the decision reaches.
  enum class Scope {
    kOneUpdate,  // this image on this component
    kDevice,     // any update of this component of `kind`, whatever its criticality
    kKind,       // any update of `kind` behind this gateway
  };
  enum class Decision { kGranted, kDenied, kDeferred, kWithdrawn, kExpired };

  std::string record_id;
  std::string principal_id;  // who decided; a pseudonym
  std::string gateway_id;
  std::string ecu_serial;  // empty for scope KIND
  Scope scope = Scope::kOneUpdate;
  Decision decision = Decision::kDenied;
  std::string kind;  // SECURITY, FUNCTIONALITY, MIXED
  std::string
      image_sha256;  // hex; required for scope ONE_UPDATE, otherwise the image that occasioned it, or empty
  std::string target_path;  // the same
  std::string from_version;
  std::string to_version;
  std::string criticality;   // as shown: LOW, MEDIUM, HIGH, CRITICAL
  std::string terms_sha256;  // hex of the terms of use that were shown; empty if there are none
  std::string text_sha256;   // hex of the text that the user agreed to: the notice's, or the policy's
  absl::Time valid_from;
  absl::Time valid_until;

  // INVALID_ARGUMENT (MALFORMED_METADATA).
  static absl::StatusOr<ConsentRecord> Parse(const Envelope& envelope);
  Envelope ToEnvelope() const;
};

// Hex SHA-256 of what a user notice tells, which the user's answer quotes and the record binds to: the texts
// and the duration in whole seconds, joined by newlines, in UTF-8.
std::string NoticeTextSha256(absl::string_view purpose, absl::string_view changes,
                             int64_t install_duration_seconds, absl::string_view unavailable_functions,
                             absl::string_view instructions);

absl::string_view ScopeName(ConsentRecord::Scope scope);           // "ONE_UPDATE", "DEVICE", "KIND"
absl::string_view DecisionName(ConsentRecord::Decision decision);  // "GRANTED", ...
absl::StatusOr<ConsentRecord::Scope> ParseScope(absl::string_view name);
absl::StatusOr<ConsentRecord::Decision> ParseDecision(absl::string_view name);

// What is about to be installed.
struct ConsentQuestion {
  std::string gateway_id;
  std::string ecu_serial;
  std::string target_path;
  std::string image_sha256;
  std::string kind;  // SECURITY, FUNCTIONALITY, MIXED
};

// The record, if it is the word of the consent service (`key`), grants, and covers `question` at `now`:
// SIGNATURE_INVALID, UNKNOWN_KEY, NO_CONSENT (the decision is another), CONSENT_MISMATCH (about something
// else), CONSENT_EXPIRED.
absl::StatusOr<ConsentRecord> VerifyConsent(const Envelope& envelope, const crypto::PublicKey& key,
                                            const ConsentQuestion& question, absl::Time now);

}  // namespace countersign::trust

#endif  // COUNTERSIGN_COMMON_TRUST_CONSENT_RECORD_H_
