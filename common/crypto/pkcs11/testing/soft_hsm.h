#ifndef COUNTERSIGN_COMMON_CRYPTO_PKCS11_TESTING_SOFT_HSM_H_
#define COUNTERSIGN_COMMON_CRYPTO_PKCS11_TESTING_SOFT_HSM_H_

#include <string>

#include "absl/strings/string_view.h"

namespace countersign::crypto::pkcs11::testing {

// An HSM of the test's own: SoftHSM with its tokens in a new folder below TEST_TMPDIR. SOFTHSM2_CONF of this
// process points to it, which the module reads when it is initialised: make it before any signer, and only
// one at a time. Aborts when SoftHSM is not installed.
class SoftHsm {
 public:
  SoftHsm();

  // A token with this label; its user's PIN is "1234" and lies in PinFile().
  void AddToken(const std::string& label);

  // The URI of the key `object` on the token `token` with module and PIN file; no `object`: of the token.
  std::string Uri(absl::string_view token, absl::string_view object = "") const;
  // The same with another module and PIN file.
  std::string Uri(absl::string_view token, absl::string_view object, absl::string_view module,
                  absl::string_view pin_file) const;

  // All tokens are pulled out, also for other processes that use this configuration; and back.
  void Remove();
  void Insert();

  const std::string& folder() const { return folder_; }
  std::string ConfigFile() const { return folder_ + "/softhsm2.conf"; }
  std::string PinFile() const { return folder_ + "/pin"; }
  // A file with something else in it.
  std::string FileWith(absl::string_view name, absl::string_view content) const;
  static std::string Module();

 private:
  std::string folder_;
};

}  // namespace countersign::crypto::pkcs11::testing

#endif  // COUNTERSIGN_COMMON_CRYPTO_PKCS11_TESTING_SOFT_HSM_H_
