#include "common/crypto/pkcs11/testing/card.h"

#include <stdio.h>
#include <stdlib.h>

#include "absl/strings/str_cat.h"
#include "common/crypto/hex.h"
#include "common/crypto/pkcs11/encoding.h"
#include "common/crypto/pkcs11/errors.h"
#include "common/crypto/pkcs11/module.h"
#include "common/crypto/pkcs11/token.h"
#include "common/crypto/pkcs11/uri.h"
#include "common/status/macros.h"

namespace countersign::crypto::pkcs11::testing {
namespace {

constexpr size_t kPointSize = 65;

absl::Status Store(absl::string_view text, Template& object) {
  ASSIGN_OR_RETURN(const Uri uri, ParseUri(text));
  ASSIGN_OR_RETURN(const Module::Ptr module, Module::Load(uri.module_path));
  const Module::Use use(*module);
  ASSIGN_OR_RETURN(const Session session, OpenSession(use, uri, {.writable = true}));
  CK_OBJECT_HANDLE handle;
  const CK_RV rv = use->C_CreateObject(session.handle, object.data(), object.size(), &handle);
  use->C_CloseSession(session.handle);
  return rv == CKR_OK ? absl::OkStatus() : FromReturn(rv, "store an object");
}

void Require(const absl::Status& status) {
  if (status.ok()) return;
  fprintf(stderr, "card for tests: %s\n", status.ToString().c_str());
  abort();
}

}  // namespace

void StorePublicKey(absl::string_view uri, absl::string_view key_id, const PublicKey& key) {
  const std::string& der = key.Der();
  Template object;
  object.Number(CKA_CLASS, CKO_PUBLIC_KEY).Number(CKA_KEY_TYPE, CKK_EC).Bool(CKA_TOKEN, true);
  object.Bool(CKA_PRIVATE, false).Bool(CKA_VERIFY, true).Bytes(CKA_ID, HexDecode(key_id).value());
  object.Bytes(CKA_EC_PARAMS, P256Parameters());
  object.Bytes(CKA_EC_POINT, absl::StrCat("\x04\x41", der.substr(der.size() - kPointSize)));
  Require(Store(uri, object));
}

void StoreSecret(absl::string_view uri, absl::string_view key_id, absl::string_view secret) {
  Template object;
  object.Number(CKA_CLASS, CKO_SECRET_KEY).Number(CKA_KEY_TYPE, CKK_GENERIC_SECRET).Bool(CKA_TOKEN, true);
  object.Bool(CKA_PRIVATE, true).Bool(CKA_SENSITIVE, true).Bool(CKA_EXTRACTABLE, false);
  object.Bool(CKA_VERIFY, true).Bool(CKA_SIGN, false).Bytes(CKA_ID, HexDecode(key_id).value());
  object.Bytes(CKA_VALUE, secret);
  Require(Store(uri, object));
}

void StoreCertificate(absl::string_view uri, absl::string_view id, absl::string_view der) {
  Template object;
  object.Number(CKA_CLASS, CKO_CERTIFICATE).Number(CKA_CERTIFICATE_TYPE, CKC_X_509).Bool(CKA_TOKEN, true);
  object.Bool(CKA_PRIVATE, false).Bytes(CKA_ID, HexDecode(id).value());
  // CKA_SUBJECT is required; nobody here looks at it.
  object.Bytes(CKA_SUBJECT, absl::string_view("\x30\x00", 2)).Bytes(CKA_VALUE, der);
  Require(Store(uri, object));
}

}  // namespace countersign::crypto::pkcs11::testing
