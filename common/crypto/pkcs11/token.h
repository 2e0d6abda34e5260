// Calls of PKCS#11 that several files here need. Every function wants a Use that lives.
#ifndef COUNTERSIGN_COMMON_CRYPTO_PKCS11_TOKEN_H_
#define COUNTERSIGN_COMMON_CRYPTO_PKCS11_TOKEN_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/crypto/pkcs11/module.h"
#include "common/crypto/pkcs11/uri.h"
#include "common/crypto/public_key.h"

namespace countersign::crypto::pkcs11 {

// A session on a token. Closed by whoever opened it.
struct Session {
  CK_SESSION_HANDLE handle = CK_INVALID_HANDLE;
  CK_SLOT_ID slot = 0;
};

// On the token that `uri` names, its user logged in if the token wants that. UNAVAILABLE (TOKEN_ABSENT),
// FAILED_PRECONDITION (TOKEN_AMBIGUOUS, PIN_MISSING, PIN_WRONG, PIN_LOCKED) or as FromReturn. A PIN that the
// token has refused once is never tried again by this process, and no PIN at all when one more wrong one
// would lock the token.
struct SessionOptions {
  bool writable = false;
  bool log_in = true;
};
absl::StatusOr<Session> OpenSession(const Module::Use& use, const Uri& uri, SessionOptions options);
inline absl::StatusOr<Session> OpenSession(const Module::Use& use, const Uri& uri) {
  return OpenSession(use, uri, SessionOptions());
}

// For a key that wants the PIN before each signature (CKA_ALWAYS_AUTHENTICATE), after C_SignInit.
absl::Status LogInForKey(const Module::Use& use, const Session& session, const Uri& uri);

// What an object must have; the values outlive it.
class Template {
 public:
  Template& Number(CK_ATTRIBUTE_TYPE type, CK_ULONG value);
  Template& Bool(CK_ATTRIBUTE_TYPE type, bool value);
  Template& Bytes(CK_ATTRIBUTE_TYPE type, absl::string_view value);
  // Valid until the next change.
  CK_ATTRIBUTE* data();
  CK_ULONG size() const { return values_.size(); }

 private:
  std::vector<std::pair<CK_ATTRIBUTE_TYPE, std::string>> values_;
  std::vector<CK_ATTRIBUTE> attributes_;
};

// The objects that fit, at most `limit`.
absl::StatusOr<std::vector<CK_OBJECT_HANDLE>> FindObjects(const Module::Use& use, const Session& session,
                                                          Template& wanted, size_t limit);
// Of that class with the label and id of `uri`, whichever are there: NOT_FOUND (KEY_NOT_FOUND) or
// FAILED_PRECONDITION (KEY_AMBIGUOUS) unless there is exactly one.
absl::StatusOr<CK_OBJECT_HANDLE> FindObject(const Module::Use& use, const Session& session, const Uri& uri,
                                            CK_OBJECT_CLASS object_class);

absl::StatusOr<std::string> GetBytes(const Module::Use& use, const Session& session, CK_OBJECT_HANDLE object,
                                     CK_ATTRIBUTE_TYPE type);
absl::StatusOr<CK_ULONG> GetNumber(const Module::Use& use, const Session& session, CK_OBJECT_HANDLE object,
                                   CK_ATTRIBUTE_TYPE type);
// `otherwise` if the object does not have it.
bool GetBool(const Module::Use& use, const Session& session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type,
             bool otherwise);

// What a CKO_PUBLIC_KEY object holds.
absl::StatusOr<PublicKey> ReadPublicKey(const Module::Use& use, const Session& session,
                                        CK_OBJECT_HANDLE object);
// The public half of a private key, from the public key or else the certificate on the token that has its id
// (or its label, if it has no id).
absl::StatusOr<PublicKey> PublicKeyOf(const Module::Use& use, const Session& session,
                                      CK_OBJECT_HANDLE private_key);

}  // namespace countersign::crypto::pkcs11

#endif  // COUNTERSIGN_COMMON_CRYPTO_PKCS11_TOKEN_H_
