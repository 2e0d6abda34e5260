#include "common/crypto/pkcs11/verifier.h"

#include <string>
#include <utility>
#include <vector>

#include "common/crypto/digest.h"
#include "common/crypto/hex.h"
#include "common/crypto/pkcs11/encoding.h"
#include "common/crypto/pkcs11/errors.h"
#include "common/crypto/pkcs11/key_sessions.h"
#include "common/crypto/pkcs11/token.h"
#include "common/crypto/pkcs11/uri.h"
#include "common/crypto/public_key.h"
#include "common/status/errors.h"
#include "common/status/macros.h"

namespace countersign::crypto::pkcs11 {
namespace {

absl::Status Invalid() {
  return Error(absl::StatusCode::kInvalidArgument, kSignatureInvalid, "the signature does not match");
}

// What the card is given: mechanism, data, signature.
struct Task {
  CK_MECHANISM mechanism = {};
  CK_RSA_PKCS_PSS_PARAMS pss = {CKM_SHA256, CKG_MGF1_SHA256, kSha256Size};
  std::string data;
  std::string signature;
};

absl::Status Prepare(CK_ULONG key_type, absl::string_view message, absl::string_view signature, Task& task) {
  task.data = Sha256(message);
  task.signature = std::string(signature);
  switch (key_type) {
    case CKK_EC: {
      absl::StatusOr<std::string> raw = EcdsaSignatureFromDer(signature);
      if (!raw.ok()) return Invalid();
      task.mechanism.mechanism = CKM_ECDSA;
      task.signature = *std::move(raw);
      return absl::OkStatus();
    }
    case CKK_EC_EDWARDS:
      task.mechanism.mechanism = CKM_EDDSA;
      task.data = std::string(message);
      return absl::OkStatus();
    case CKK_RSA:
      task.mechanism = {CKM_RSA_PKCS_PSS, &task.pss, sizeof(task.pss)};
      return absl::OkStatus();
    case CKK_GENERIC_SECRET:
    case CKK_SHA256_HMAC:
      task.mechanism.mechanism = CKM_SHA256_HMAC;
      return absl::OkStatus();
    default:
      return FromReturn(CKR_KEY_TYPE_INCONSISTENT, "verify");
  }
}

absl::StatusOr<CK_OBJECT_HANDLE> FindVerifyingKey(const KeySessions::Key& card, const std::string& id) {
  for (const CK_OBJECT_CLASS object_class : {CKO_PUBLIC_KEY, CKO_SECRET_KEY}) {
    Template wanted;
    wanted.Number(CKA_CLASS, object_class).Bytes(CKA_ID, id);
    ASSIGN_OR_RETURN(const std::vector<CK_OBJECT_HANDLE> found,
                     FindObjects(card.use, card.session, wanted, 2));
    if (found.size() == 1) return found.front();
    if (found.size() > 1) {
      return Error(absl::StatusCode::kFailedPrecondition, kKeyAmbiguous,
                   "the card has several keys of this id");
    }
  }
  return Error(absl::StatusCode::kNotFound, kVerifierUnknownKey, "the card does not know the key");
}

absl::Status VerifyOnce(const KeySessions::Key& card, const std::string& id, absl::string_view message,
                        absl::string_view signature) {
  // The card may have been pulled out; some modules then go on as if it had nothing on it.
  CK_TOKEN_INFO info;
  if (const CK_RV rv = card.use->C_GetTokenInfo(card.session.slot, &info); rv != CKR_OK) {
    return FromReturn(rv, "look at the card");
  }
  ASSIGN_OR_RETURN(const CK_OBJECT_HANDLE key, FindVerifyingKey(card, id));
  ASSIGN_OR_RETURN(const CK_ULONG type, GetNumber(card.use, card.session, key, CKA_KEY_TYPE));
  Task task;
  RETURN_IF_ERROR(Prepare(type, message, signature, task));
  if (const CK_RV rv = card.use->C_VerifyInit(card.session.handle, &task.mechanism, key); rv != CKR_OK) {
    return FromReturn(rv, "begin to verify");
  }
  const CK_RV rv =
      card.use->C_Verify(card.session.handle, reinterpret_cast<CK_BYTE*>(task.data.data()), task.data.size(),
                         reinterpret_cast<CK_BYTE*>(task.signature.data()), task.signature.size());
  if (rv == CKR_SIGNATURE_INVALID || rv == CKR_SIGNATURE_LEN_RANGE) return Invalid();
  return rv == CKR_OK ? absl::OkStatus() : FromReturn(rv, "verify");
}

}  // namespace

Pkcs11Verifier::Pkcs11Verifier(std::unique_ptr<KeySessions> sessions) : sessions_(std::move(sessions)) {}

Pkcs11Verifier::~Pkcs11Verifier() = default;

absl::StatusOr<std::unique_ptr<Pkcs11Verifier>> Pkcs11Verifier::Open(absl::string_view text,
                                                                     const Clock& clock) {
  ASSIGN_OR_RETURN(Uri uri, ParseUri(text));
  if (!uri.object.empty() || !uri.id.empty() || !uri.type.empty()) {
    return Error(absl::StatusCode::kInvalidArgument, kUriInvalid,
                 "PKCS#11 URI: a card is named without an object; signatures tell the key");
  }
  const auto no_key = [](const Module::Use&, const Session&) { return CK_OBJECT_HANDLE{CK_INVALID_HANDLE}; };
  const bool log_in = !uri.pin_source.empty();
  return std::unique_ptr<Pkcs11Verifier>(
      new Pkcs11Verifier(std::make_unique<KeySessions>(std::move(uri), no_key, clock, log_in)));
}

absl::Status Pkcs11Verifier::Verify(absl::string_view key_id, absl::string_view message,
                                    absl::string_view signature) const {
  const absl::StatusOr<std::string> id = HexDecode(key_id);
  if (!id.ok() || id->empty()) {
    return Error(absl::StatusCode::kNotFound, kVerifierUnknownKey, "the key id is none");
  }
  // A verdict is no failure of the card.
  absl::Status verdict;
  const absl::Status status = sessions_->Run([&](const KeySessions::Key& card) -> absl::Status {
    verdict = VerifyOnce(card, *id, message, signature);
    const std::string reason = ReasonOf(verdict);
    return reason == kSignatureInvalid || reason == kVerifierUnknownKey ? absl::OkStatus() : verdict;
  });
  if (status.ok()) return verdict;
  if (ReasonOf(status) != kTokenAbsent) return status;
  return Error(absl::StatusCode::kUnavailable, kVerifierAbsent, status.message());
}

}  // namespace countersign::crypto::pkcs11
