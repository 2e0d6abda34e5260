#include "common/crypto/open_signer.h"

#include <utility>

#include "absl/strings/match.h"
#include "common/crypto/pkcs11/signer.h"
#include "common/status/macros.h"

namespace countersign::crypto {

absl::StatusOr<std::unique_ptr<Signer>> OpenSigner(const std::string& spec) {
  if (absl::StartsWithIgnoreCase(spec, "pkcs11:")) return pkcs11::Pkcs11Signer::Open(spec);
  ASSIGN_OR_RETURN(PemSigner signer, PemSigner::Load(spec));
  return std::make_unique<PemSigner>(std::move(signer));
}

}  // namespace countersign::crypto
