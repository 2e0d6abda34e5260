#ifndef COUNTERSIGN_COMMON_CRYPTO_PKCS11_ERRORS_H_
#define COUNTERSIGN_COMMON_CRYPTO_PKCS11_ERRORS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "p11-kit/pkcs11.h"

namespace countersign::crypto::pkcs11 {

// Reasons of the errors of this folder, beside kUriInvalid.
inline constexpr char kModuleUnusable[] = "PKCS11_MODULE_UNUSABLE";  // the library, not the token
inline constexpr char kTokenAbsent[] = "TOKEN_ABSENT";
inline constexpr char kTokenAmbiguous[] = "TOKEN_AMBIGUOUS";
inline constexpr char kTokenFailed[] = "TOKEN_FAILED";    // the token, or the way to it, does not do its work
inline constexpr char kKeyNotFound[] = "KEY_NOT_FOUND";   // on the token
inline constexpr char kKeyAmbiguous[] = "KEY_AMBIGUOUS";  // several objects fit
inline constexpr char kKeyUnusable[] = "KEY_UNUSABLE";    // may not, or cannot, do what is asked of it
inline constexpr char kDataRefused[] = "TOKEN_DATA_REFUSED";  // too much for the token
inline constexpr char kPinMissing[] = "PIN_MISSING";
inline constexpr char kPinWrong[] = "PIN_WRONG";
inline constexpr char kPinLocked[] = "PIN_LOCKED";

// The status of a call of the library that returned `rv`, which is not CKR_OK; `action` completes "cannot
// ...". FAILED_PRECONDITION for what a person must put right (PIN, key), UNAVAILABLE (TOKEN_FAILED) for
// everything that may pass.
absl::Status FromReturn(CK_RV rv, absl::string_view action);

// Whether `status` tells of a token or session that may be had again by opening it anew.
bool MayPass(const absl::Status& status);

}  // namespace countersign::crypto::pkcs11

#endif  // COUNTERSIGN_COMMON_CRYPTO_PKCS11_ERRORS_H_
