#ifndef COUNTERSIGN_COMMON_CRYPTO_PKCS11_TESTING_FAULTY_MODULE_H_
#define COUNTERSIGN_COMMON_CRYPTO_PKCS11_TESTING_FAULTY_MODULE_H_

#include <atomic>
#include <string>

#include "p11-kit/pkcs11.h"

namespace countersign::crypto::pkcs11::testing {

// A PKCS#11 module of its own, SoftHSM behind it, that does what SoftHSM never does. These are its switches
// and counters, shared with the test that loads it.
struct Faults {
  // What the next `times` calls of a function return instead of doing it.
  struct Failure {
    std::atomic<int> times = 0;
    std::atomic<CK_RV> rv = CKR_OK;
    void Set(CK_RV value, int count = 1) {
      rv = value;
      times = count;
    }
  };
  Failure initialize, open_session, login, sign_init, sign, get_token_info;
  std::atomic<CK_FLAGS> token_flags = 0;  // beside SoftHSM's own
  std::atomic<bool> wrong_signature = false;
  std::atomic<bool> bare_points = false;        // CKA_EC_POINT without its OCTET STRING
  std::atomic<bool> no_public_keys = false;     // private keys and certificates only
  std::atomic<bool> no_pss_of_digests = false;  // CKM_SHA256_RSA_PKCS_PSS only

  std::atomic<int> initializes = 0, finalizes = 0, logins = 0, signatures = 0, sessions = 0, max_sessions = 0;

  // Of the module in this process, as new.
  static Faults& Reset();
  // Its file.
  static std::string Module();
};

}  // namespace countersign::crypto::pkcs11::testing

#endif  // COUNTERSIGN_COMMON_CRYPTO_PKCS11_TESTING_FAULTY_MODULE_H_
