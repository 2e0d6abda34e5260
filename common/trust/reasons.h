#ifndef COUNTERSIGN_COMMON_TRUST_REASONS_H_
#define COUNTERSIGN_COMMON_TRUST_REASONS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/crypto/public_key.h"

namespace countersign::trust {

// Why this library refuses something: every refusal carries one of these as its ErrorInfo's reason, so that a
// test, a metric or a report to the server can tell them apart.

using crypto::kKeyInvalid;        // not a key of a kind in use, or too weak
using crypto::kSignatureInvalid;  // not the signature of that key over these bytes

// The bytes.
inline constexpr char kMalformed[] = "MALFORMED_METADATA";      // not strict JSON, or not the expected fields
inline constexpr char kLengthExceeded[] = "LENGTH_EXCEEDED";    // more bytes than promised or allowed
inline constexpr char kLengthMismatch[] = "LENGTH_MISMATCH";    // fewer bytes than promised
inline constexpr char kDigestMismatch[] = "DIGEST_MISMATCH";    // not the bytes that were promised
inline constexpr char kLimitExceeded[] = "LIMIT_EXCEEDED";      // too many entries, too deep
inline constexpr char kUnsupportedSpec[] = "UNSUPPORTED_SPEC";  // spec_version is not 1.x

// Who vouches.
inline constexpr char kThresholdNotMet[] = "THRESHOLD_NOT_MET";  // too few distinct keys have signed
inline constexpr char kKeyIdMismatch[] = "KEY_ID_MISMATCH";      // a key id is not the digest of its key
inline constexpr char kDuplicateKey[] = "DUPLICATE_KEY";         // one public key under two ids
inline constexpr char kUnknownKey[] = "UNKNOWN_KEY";             // signed by a key that nobody named
inline constexpr char kPartiesNotDistinct[] = "PARTIES_NOT_DISTINCT";  // one party could sign for both
inline constexpr char kPartiesNotDeclared[] = "PARTIES_NOT_DECLARED";  // nobody says whose a key is
inline constexpr char kUnknownRole[] = "UNKNOWN_ROLE";                 // no such role is delegated
inline constexpr char kRoleNotPublished[] = "ROLE_NOT_PUBLISHED";  // delegated, but snapshot does not list it

// Time and order.
inline constexpr char kExpired[] = "EXPIRED_METADATA";            // freeze, or nobody has signed again
inline constexpr char kMetadataRollback[] = "METADATA_ROLLBACK";  // a version, or a role, that went back
inline constexpr char kVersionMismatch[] =
    "VERSION_MISMATCH";  // not the version that was promised: mix-and-match
inline constexpr char kRootSkipped[] = "ROOT_VERSION_SKIPPED";  // the next root is not exactly N+1

// Targets.
inline constexpr char kTargetUnknown[] = "TARGET_UNKNOWN";         // nobody vouches for this path
inline constexpr char kPathNotDelegated[] = "PATH_NOT_DELEGATED";  // a role names a path that is not its own
inline constexpr char kTargetChanged[] = "TARGET_CHANGED";         // a published path got other bytes
inline constexpr char kReleaseCounterMissing[] = "RELEASE_COUNTER_MISSING";
inline constexpr char kHardwareIdsMissing[] = "HARDWARE_IDS_MISSING";
inline constexpr char kRollbackAttempt[] = "ROLLBACK_ATTEMPT";  // a release counter that falls

// Director and image repository together.
inline constexpr char kTargetMismatch[] = "TARGET_MISMATCH";        // the two do not say the same
inline constexpr char kDirectorDelegates[] = "DIRECTOR_DELEGATES";  // a Director must not delegate
inline constexpr char kHardwareMismatch[] = "HARDWARE_MISMATCH";    // not for this hardware
inline constexpr char kUnknownEcu[] = "UNKNOWN_ECU";                // not for anything here
inline constexpr char kDuplicateEcu[] = "DUPLICATE_ECU";            // two images for one component

// Approval and consent.
inline constexpr char kNotApproved[] = "NOT_APPROVED";
inline constexpr char kNoConsent[] = "NO_CONSENT";              // no record, or one that does not grant
inline constexpr char kConsentMismatch[] = "CONSENT_MISMATCH";  // a record about something else
inline constexpr char kConsentExpired[] = "CONSENT_EXPIRED";    // or not valid yet

// Reports.
inline constexpr char kNonceMismatch[] = "NONCE_MISMATCH";
inline constexpr char kCounterNotRising[] = "COUNTER_NOT_RISING";
inline constexpr char kWrongIdentity[] = "WRONG_IDENTITY";  // who signed is not who it speaks for

// A refusal for `reason`. The code is INVALID_ARGUMENT for bytes and signatures that are wrong whatever the
// state, NOT_FOUND for what nobody knows, RESOURCE_EXHAUSTED for limits, FAILED_PRECONDITION for the rest.
absl::Status Refuse(absl::string_view reason, absl::string_view message);

}  // namespace countersign::trust

#endif  // COUNTERSIGN_COMMON_TRUST_REASONS_H_
