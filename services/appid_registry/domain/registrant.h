#ifndef COUNTERSIGN_SERVICES_APPID_REGISTRY_DOMAIN_REGISTRANT_H_
#define COUNTERSIGN_SERVICES_APPID_REGISTRY_DOMAIN_REGISTRANT_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/onem2m/terms.h"

namespace countersign::appid_registry::domain {

// An App Registrant: who answers for applications, and signs the terms of their registration.
struct Registrant {
  std::string id;
  std::string display_name;
  std::string public_key_pem;
  std::string registrar;  // id of who registered it
  int64_t revision = 1;
  absl::Time create_time;
};

// INVALID_ARGUMENT: REGISTRANT_INVALID with the field and what it should be, or KEY_INVALID.
absl::Status CheckRegistrant(const Registrant& registrant);

// Whether `id` can be a registrant's: 1 to 63 of [a-z0-9.-], a letter or digit at both ends.
bool IsRegistrantId(absl::string_view id);

// What the document says, read and not yet trusted. INVALID_ARGUMENT (TERMS_INVALID).
absl::StatusOr<onem2m::Terms> ReadTerms(absl::string_view document);

// OK if `document` is `registrant`'s word about `app_id` (and no other App-ID). INVALID_ARGUMENT
// (TERMS_INVALID) with what is wrong.
absl::Status VerifyTerms(absl::string_view document, const Registrant& registrant, absl::string_view app_id,
                         absl::Time now);

}  // namespace countersign::appid_registry::domain

#endif  // COUNTERSIGN_SERVICES_APPID_REGISTRY_DOMAIN_REGISTRANT_H_
