#ifndef COUNTERSIGN_COMMON_CRYPTO_PKCS11_TESTING_SOFT_TPM_H_
#define COUNTERSIGN_COMMON_CRYPTO_PKCS11_TESTING_SOFT_TPM_H_

#include <sys/types.h>

#include <string>

#include "absl/strings/string_view.h"

namespace countersign::crypto::pkcs11::testing {

// A TPM 2.0 of the test's own: swtpm, with tpm2-pkcs11 before it and one token in it. The variables that
// tpm2-pkcs11 reads when it is initialised (TPM2_PKCS11_STORE, ...) are set in this process, also for those
// that it starts: make it before any signer, and only one at a time. A TPM without a resource manager serves
// one process at a time; the others wait for it. Aborts when swtpm, tpm2-pkcs11 or pkcs11-tool are not
// installed.
class SoftTpm {
 public:
  // Its token has this label; its user's PIN is "1234" and lies in PinFile().
  explicit SoftTpm(absl::string_view token = "tpm");
  ~SoftTpm();
  SoftTpm(const SoftTpm&) = delete;
  SoftTpm& operator=(const SoftTpm&) = delete;

  // The URI of the key `object` on the token, with module and PIN file; no `object`: of the token.
  std::string Uri(absl::string_view object = "") const;

  // The machine's power: what the TPM does not keep in its flash is lost.
  void PowerOff();
  void PowerOn();

  const std::string& folder() const { return folder_; }
  std::string PinFile() const { return folder_ + "/pin"; }
  static std::string Module();

 private:
  std::string SocketPath() const { return folder_ + "/tpm"; }

  const std::string token_;
  std::string folder_;
  pid_t process_ = 0;
};

}  // namespace countersign::crypto::pkcs11::testing

#endif  // COUNTERSIGN_COMMON_CRYPTO_PKCS11_TESTING_SOFT_TPM_H_
