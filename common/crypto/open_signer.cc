#include "common/crypto/open_signer.h"

#include <utility>

#include "absl/strings/match.h"
#include "common/status/errors.h"
#include "common/status/macros.h"

namespace countersign::crypto {

absl::StatusOr<std::unique_ptr<Signer>> OpenSigner(const std::string& spec) {
  if (absl::StartsWithIgnoreCase(spec, "pkcs11:")) {
    return Error(absl::StatusCode::kInvalidArgument, kKeyInvalid, "keys on PKCS#11 tokens are not supported");
  }
  ASSIGN_OR_RETURN(PemSigner signer, PemSigner::Load(spec));
  return std::make_unique<PemSigner>(std::move(signer));
}

}  // namespace countersign::crypto
