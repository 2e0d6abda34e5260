#include "common/crypto/pkcs11/keys.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/crypto/pkcs11/encoding.h"
#include "common/crypto/pkcs11/errors.h"
#include "common/crypto/pkcs11/module.h"
#include "common/crypto/pkcs11/token.h"
#include "common/crypto/pkcs11/uri.h"
#include "common/crypto/random.h"
#include "common/status/errors.h"
#include "common/status/macros.h"

namespace countersign::crypto::pkcs11 {
namespace {

constexpr size_t kIdSize = 16;
constexpr CK_ULONG kRsaBits = 3072;
constexpr size_t kMaxListed = 1000;

absl::Status CheckFree(const Module::Use& use, const Session& session, const Uri& uri) {
  for (const CK_OBJECT_CLASS object_class : {CKO_PRIVATE_KEY, CKO_PUBLIC_KEY}) {
    for (const auto& [type, value] : {std::pair(CKA_LABEL, uri.object), std::pair(CKA_ID, uri.id)}) {
      Template wanted;
      wanted.Number(CKA_CLASS, object_class).Bytes(type, value);
      ASSIGN_OR_RETURN(const std::vector<CK_OBJECT_HANDLE> found, FindObjects(use, session, wanted, 1));
      if (!found.empty()) {
        return Error(absl::StatusCode::kAlreadyExists, "KEY_EXISTS",
                     "the token has a key of this label or id: choose another, or delete that one with the "
                     "token's own tools");
      }
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<PublicKey> Generate(const Module::Use& use, const Session& session, const Uri& uri,
                                   KeyType type) {
  Template public_half;
  public_half.Bool(CKA_TOKEN, true).Bool(CKA_VERIFY, true);
  CK_MECHANISM mechanism = {};
  switch (type) {
    case KeyType::kEd25519:
      mechanism.mechanism = CKM_EC_EDWARDS_KEY_PAIR_GEN;
      public_half.Bytes(CKA_EC_PARAMS, Ed25519Parameters());
      break;
    case KeyType::kEcdsaP256:
      mechanism.mechanism = CKM_EC_KEY_PAIR_GEN;
      public_half.Bytes(CKA_EC_PARAMS, P256Parameters());
      break;
    case KeyType::kRsaPss:
      mechanism.mechanism = CKM_RSA_PKCS_KEY_PAIR_GEN;
      public_half.Number(CKA_MODULUS_BITS, kRsaBits)
          .Bytes(CKA_PUBLIC_EXPONENT, absl::string_view("\x01\x00\x01", 3));
      break;
  }
  Template private_half;
  private_half.Bool(CKA_TOKEN, true)
      .Bool(CKA_PRIVATE, true)
      .Bool(CKA_SENSITIVE, true)
      .Bool(CKA_EXTRACTABLE, false)
      .Bool(CKA_SIGN, true);
  for (Template* const half : {&public_half, &private_half}) {
    half->Bytes(CKA_LABEL, uri.object).Bytes(CKA_ID, uri.id);
  }
  CK_OBJECT_HANDLE public_key, private_key;
  if (const CK_RV rv =
          use->C_GenerateKeyPair(session.handle, &mechanism, public_half.data(), public_half.size(),
                                 private_half.data(), private_half.size(), &public_key, &private_key);
      rv != CKR_OK) {
    return FromReturn(rv, "make a key pair");
  }
  return ReadPublicKey(use, session, public_key);
}

}  // namespace

absl::StatusOr<PublicKey> GenerateKey(absl::string_view text, KeyType type) {
  ASSIGN_OR_RETURN(Uri uri, ParseUri(text));
  if (uri.object.empty() || !uri.type.empty()) {
    return Error(absl::StatusCode::kInvalidArgument, kUriInvalid,
                 "PKCS#11 URI: a new key needs an object (its label), and has no type");
  }
  if (uri.id.empty()) uri.id = RandomBytes(kIdSize);
  ASSIGN_OR_RETURN(const Module::Ptr module, Module::Load(uri.module_path));
  const Module::Use use(*module);
  ASSIGN_OR_RETURN(const Session session, OpenSession(use, uri, {.writable = true}));
  const absl::Status free = CheckFree(use, session, uri);
  const absl::StatusOr<PublicKey> key =
      free.ok() ? Generate(use, session, uri, type) : absl::StatusOr<PublicKey>(free);
  use->C_CloseSession(session.handle);
  return key;
}

absl::StatusOr<std::vector<TokenKey>> ListKeys(absl::string_view text) {
  ASSIGN_OR_RETURN(const Uri uri, ParseUri(text));
  ASSIGN_OR_RETURN(const Module::Ptr module, Module::Load(uri.module_path));
  const Module::Use use(*module);
  ASSIGN_OR_RETURN(const Session session, OpenSession(use, uri));
  Template wanted;
  wanted.Number(CKA_CLASS, CKO_PRIVATE_KEY);
  if (!uri.object.empty()) wanted.Bytes(CKA_LABEL, uri.object);
  if (!uri.id.empty()) wanted.Bytes(CKA_ID, uri.id);
  const absl::StatusOr<std::vector<CK_OBJECT_HANDLE>> found = FindObjects(use, session, wanted, kMaxListed);
  std::vector<TokenKey> keys;
  for (const CK_OBJECT_HANDLE object : found.ok() ? *found : std::vector<CK_OBJECT_HANDLE>()) {
    Uri name = uri;
    name.object = GetBytes(use, session, object, CKA_LABEL).value_or("");
    name.id = GetBytes(use, session, object, CKA_ID).value_or("");
    TokenKey& key = keys.emplace_back();
    key.uri = name.ToString();
    key.extractable = GetBool(use, session, object, CKA_EXTRACTABLE, true);
    if (absl::StatusOr<PublicKey> half = PublicKeyOf(use, session, object); half.ok()) key.public_key = *half;
  }
  use->C_CloseSession(session.handle);
  if (!found.ok()) return found.status();
  return keys;
}

}  // namespace countersign::crypto::pkcs11
