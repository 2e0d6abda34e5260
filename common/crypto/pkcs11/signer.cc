#include "common/crypto/pkcs11/signer.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/crypto/digest.h"
#include "common/crypto/pkcs11/encoding.h"
#include "common/crypto/pkcs11/errors.h"
#include "common/crypto/pkcs11/key_sessions.h"
#include "common/crypto/pkcs11/token.h"
#include "common/crypto/pkcs11/uri.h"
#include "common/status/errors.h"
#include "common/status/macros.h"

namespace countersign::crypto::pkcs11 {
namespace {

constexpr size_t kMaxSignatureSize = 1024;  // RSA with 8192 bits
// Neither JSON nor DSSE nor a note: nobody takes it for something that we stated.
constexpr char kTrialMessage[] = "countersign: a trial of a signing key";

absl::StatusOr<std::string> SignOnce(const KeySessions::Key& key, const Uri& uri, const PublicKey& public_key,
                                     bool takes_digest, bool authenticates_always,
                                     absl::string_view message) {
  CK_MECHANISM mechanism = {};
  CK_RSA_PKCS_PSS_PARAMS pss = {CKM_SHA256, CKG_MGF1_SHA256, kSha256Size};
  switch (public_key.type()) {
    case KeyType::kEd25519:
      mechanism.mechanism = CKM_EDDSA;
      break;
    case KeyType::kEcdsaP256:
      mechanism.mechanism = CKM_ECDSA;
      break;
    case KeyType::kRsaPss:
      mechanism = {takes_digest ? CKM_RSA_PKCS_PSS : CKM_SHA256_RSA_PKCS_PSS, &pss, sizeof(pss)};
      break;
  }
  if (const CK_RV rv = key.use->C_SignInit(key.session.handle, &mechanism, key.object); rv != CKR_OK) {
    return FromReturn(rv, "begin a signature");
  }
  if (authenticates_always) RETURN_IF_ERROR(LogInForKey(key.use, key.session, uri));
  std::string data = takes_digest ? Sha256(message) : std::string(message);
  std::string signature(kMaxSignatureSize, '\0');
  CK_ULONG size = signature.size();
  if (const CK_RV rv = key.use->C_Sign(key.session.handle, reinterpret_cast<CK_BYTE*>(data.data()),
                                       data.size(), reinterpret_cast<CK_BYTE*>(signature.data()), &size);
      rv != CKR_OK) {
    return FromReturn(rv, "sign");
  }
  signature.resize(std::min<size_t>(size, signature.size()));
  if (public_key.type() == KeyType::kEcdsaP256) {
    absl::StatusOr<std::string> der = EcdsaSignatureToDer(signature);
    signature = der.ok() ? *std::move(der) : "";
  }
  if (!public_key.Verify(message, signature).ok()) {
    return Error(
        absl::StatusCode::kUnavailable, kTokenFailed,
        "the token's signature does not fit the key's public half: it is not the key that was opened");
  }
  return signature;
}

// A client that waits for a signature is to come again, whatever a person must do first.
absl::Status AsUnavailable(const absl::Status& status, const Uri& uri) {
  if (status.ok()) return status;
  return Error(absl::StatusCode::kUnavailable, ReasonOf(status),
               absl::StrCat(uri.ToString(), ": ", std::string(status.message())));
}

}  // namespace

Pkcs11Signer::Pkcs11Signer(std::unique_ptr<KeySessions> sessions, PublicKey public_key, Habits habits)
    : sessions_(std::move(sessions)), public_key_(std::move(public_key)), habits_(habits) {}

Pkcs11Signer::~Pkcs11Signer() = default;

absl::StatusOr<std::unique_ptr<Pkcs11Signer>> Pkcs11Signer::Open(absl::string_view text, const Clock& clock) {
  ASSIGN_OR_RETURN(const Uri uri, ParseUri(text));
  if ((uri.object.empty() && uri.id.empty()) || (!uri.type.empty() && uri.type != "private")) {
    return Error(
        absl::StatusCode::kInvalidArgument, kUriInvalid,
        "PKCS#11 URI: a key to sign with is named by object or id, and its type, if given, is private");
  }
  auto sessions = std::make_unique<KeySessions>(
      uri,
      [uri](const Module::Use& use, const Session& session) {
        return FindObject(use, session, uri, CKO_PRIVATE_KEY);
      },
      clock);
  std::optional<PublicKey> public_key;
  Habits habits;
  const absl::Status status = sessions->Run([&](const KeySessions::Key& key) -> absl::Status {
    ASSIGN_OR_RETURN(public_key, PublicKeyOf(key.use, key.session, key.object));
    habits.authenticates_always = GetBool(key.use, key.session, key.object, CKA_ALWAYS_AUTHENTICATE, false);
    CK_MECHANISM_INFO info;
    habits.takes_digest = public_key->type() == KeyType::kEcdsaP256 ||
                          (public_key->type() == KeyType::kRsaPss &&
                           key.use->C_GetMechanismInfo(key.session.slot, CKM_RSA_PKCS_PSS, &info) == CKR_OK);
    return absl::OkStatus();
  });
  if (!status.ok()) return Annotate(status, uri.ToString());
  return std::unique_ptr<Pkcs11Signer>(new Pkcs11Signer(std::move(sessions), *std::move(public_key), habits));
}

absl::StatusOr<std::string> Pkcs11Signer::Sign(absl::string_view message) const {
  std::string signature;
  const absl::Status status = sessions_->Run([&](const KeySessions::Key& key) -> absl::Status {
    ASSIGN_OR_RETURN(signature, SignOnce(key, sessions_->uri(), public_key_, habits_.takes_digest,
                                         habits_.authenticates_always, message));
    return absl::OkStatus();
  });
  if (!status.ok()) return AsUnavailable(status, sessions_->uri());
  return signature;
}

absl::Status Pkcs11Signer::Check() const {
  if (!sessions_->fault().ok()) return Sign(kTrialMessage).status();
  return AsUnavailable(sessions_->Run([](const KeySessions::Key& key) -> absl::Status {
    CK_TOKEN_INFO info;
    if (const CK_RV rv = key.use->C_GetTokenInfo(key.session.slot, &info); rv != CKR_OK) {
      return FromReturn(rv, "look at the token");
    }
    return GetNumber(key.use, key.session, key.object, CKA_KEY_TYPE).status();
  }),
                       sessions_->uri());
}

}  // namespace countersign::crypto::pkcs11
