#ifndef COUNTERSIGN_COMMON_ONEM2M_TERMS_H_
#define COUNTERSIGN_COMMON_ONEM2M_TERMS_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/crypto/public_key.h"
#include "common/crypto/signer.h"
#include "common/trust/envelope.h"

namespace countersign::onem2m {

inline constexpr size_t kMaxTermsBytes = 8192;

// The terms of registration that an App Registrant has agreed to for one App-ID: an Envelope (common/trust)
// of type "app-id-terms", signed with the registrant's key.
struct Terms {
  std::string app_id;
  std::string registrant;  // id
  std::string terms_id;
  std::string terms_version;
  std::string terms_sha256;  // hex, of their text
  absl::Time signed_at;      // whole seconds

  // INVALID_ARGUMENT (MALFORMED_METADATA). Nothing is verified.
  static absl::StatusOr<Terms> Parse(const trust::Envelope& envelope);
  // Unsigned.
  trust::Envelope ToEnvelope() const;
};

}  // namespace countersign::onem2m

#endif  // COUNTERSIGN_COMMON_ONEM2M_TERMS_H_
