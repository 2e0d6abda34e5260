#ifndef COUNTERSIGN_COMMON_TRUST_DIRECTOR_H_
#define COUNTERSIGN_COMMON_TRUST_DIRECTOR_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/trust/consent_record.h"
#include "common/trust/metadata.h"

namespace countersign::trust {

// One component's line in a Director's targets, with what must stand behind it.
struct DirectorEntry {
  std::string gateway_id;
  std::string ecu_serial;
  std::string hardware_id;
  std::string kind;  // of the release
  std::string path;
  TargetFile target;  // as it is to be signed, with ecuIdentifiers
  int64_t installed_release_counter = 0;
};

// The rule before the Director's key: OK only if everyone who must agree has agreed, whatever code asks for
// the signature. `approved` is the image repository's target for the path, as the caller's own
// RepositoryClient found it (nullptr: nobody vouches for it): NOT_APPROVED, TARGET_MISMATCH,
// HARDWARE_MISMATCH, ROLLBACK_ATTEMPT. A path below "pending/" is NOT_APPROVED, whoever vouches. `consent` is
// the signed record (nullptr: NO_CONSENT), checked with VerifyConsent(), and its id must be the entry's
// consentRecordId (CONSENT_MISMATCH).
absl::Status CheckEntry(const DirectorEntry& entry, const TargetFile* approved, const Envelope* consent,
                        const crypto::PublicKey& consent_key, absl::Time now);

}  // namespace countersign::trust

#endif  // COUNTERSIGN_COMMON_TRUST_DIRECTOR_H_
