#include "common/trust/director.h"

#include "absl/strings/str_cat.h"
#include "common/status/macros.h"
#include "common/trust/reasons.h"
#include "common/trust/update.h"

namespace countersign::trust {

absl::Status CheckEntry(const DirectorEntry& entry, const TargetFile* approved, const Envelope* consent,
                        const crypto::PublicKey& consent_key, absl::Time now) {
  if (approved == nullptr || IsPendingPath(entry.path)) {
    return Refuse(kNotApproved,
                  absl::StrCat(entry.path, " is not approved: have the Management Authority sign it"));
  }
  ASSIGN_OR_RETURN(const VerifiedUpdate update,
                   CheckComponent(entry.path, entry.target, *approved,
                                  {.ecu_serial = entry.ecu_serial,
                                   .hardware_id = entry.hardware_id,
                                   .release_counter = entry.installed_release_counter}));
  if (consent == nullptr) {
    return Refuse(kNoConsent,
                  absl::StrCat("nobody consented to ", entry.path, " on component ", entry.ecu_serial));
  }
  ASSIGN_OR_RETURN(const ConsentRecord record, VerifyConsent(*consent, consent_key,
                                                             {.gateway_id = entry.gateway_id,
                                                              .ecu_serial = entry.ecu_serial,
                                                              .target_path = entry.path,
                                                              .image_sha256 = update.sha256,
                                                              .kind = entry.kind},
                                                             now));
  if (record.record_id != update.consent_record_id) {
    return Refuse(kConsentMismatch,
                  absl::StrCat("the entry for component ", entry.ecu_serial, " names consent \"",
                               update.consent_record_id, "\", the record is ", record.record_id));
  }
  return absl::OkStatus();
}

}  // namespace countersign::trust
