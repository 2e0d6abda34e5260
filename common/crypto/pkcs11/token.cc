#include "common/crypto/pkcs11/token.h"

#include <openssl/crypto.h>

#include <cstring>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/crypto/pkcs11/encoding.h"
#include "common/crypto/pkcs11/errors.h"
#include "common/file/file.h"
#include "common/status/errors.h"
#include "common/status/macros.h"

namespace countersign::crypto::pkcs11 {
namespace {

constexpr int64_t kMaxPinFile = 1024;
constexpr CK_ULONG kMaxAttribute = 64 << 10;
constexpr size_t kMaxSlots = 1024;

template <size_t n>
std::string Padded(const CK_UTF8CHAR (&field)[n]) {
  return std::string(
      absl::StripTrailingAsciiWhitespace(absl::string_view(reinterpret_cast<const char*>(field), n)));
}

struct Token {
  CK_SLOT_ID slot;
  CK_TOKEN_INFO info;
};

bool Fits(const std::string& wanted, const std::string& is) { return wanted.empty() || wanted == is; }

absl::StatusOr<Token> FindToken(const Module::Use& use, const Uri& uri) {
  // Without a list first: that is when modules look again at what is plugged in.
  CK_ULONG count = 0;
  if (const CK_RV rv = use->C_GetSlotList(CK_TRUE, nullptr, &count); rv != CKR_OK) {
    return FromReturn(rv, "list the tokens");
  }
  std::vector<CK_SLOT_ID> slots(std::min<size_t>(count + 8, kMaxSlots));
  count = slots.size();
  if (const CK_RV rv = use->C_GetSlotList(CK_TRUE, slots.data(), &count); rv != CKR_OK) {
    return FromReturn(rv, "list the tokens");
  }
  slots.resize(std::min<size_t>(count, slots.size()));
  std::vector<Token> found;
  for (const CK_SLOT_ID slot : slots) {
    Token token{slot, {}};
    if (uri.slot_id.value_or(slot) != slot || use->C_GetTokenInfo(slot, &token.info) != CKR_OK) continue;
    if ((token.info.flags & CKF_TOKEN_INITIALIZED) != 0 && Fits(uri.token, Padded(token.info.label)) &&
        Fits(uri.manufacturer, Padded(token.info.manufacturerID)) &&
        Fits(uri.model, Padded(token.info.model)) && Fits(uri.serial, Padded(token.info.serialNumber))) {
      found.push_back(token);
    }
  }
  if (found.empty()) {
    return Error(absl::StatusCode::kUnavailable, kTokenAbsent,
                 absl::StrCat("no token fits ", uri.ToString(), ": is it plugged in?"));
  }
  if (found.size() > 1) {
    return Error(absl::StatusCode::kFailedPrecondition, kTokenAmbiguous,
                 absl::StrCat(found.size(), " tokens fit ", uri.ToString(), ": add its serial"));
  }
  return found.front();
}

// The PIN of the file, wiped when it goes.
class Pin {
 public:
  ~Pin() { OPENSSL_cleanse(text_.data(), text_.size()); }

  absl::Status Read(const Uri& uri) {
    if (uri.pin_source.empty()) {
      return Error(absl::StatusCode::kFailedPrecondition, kPinMissing,
                   "the token wants a PIN: add pin-source=FILE to its URI");
    }
    absl::StatusOr<std::string> text = ReadFile(uri.pin_source, kMaxPinFile);
    if (text.ok()) {
      text_ = *std::move(text);
      while (!text_.empty() && (text_.back() == '\n' || text_.back() == '\r')) text_.pop_back();
      if (!text_.empty()) return absl::OkStatus();
    }
    // Which file it is stands in the configuration; clients of the service may see this message.
    return Error(absl::StatusCode::kFailedPrecondition, kPinMissing,
                 text.ok() ? "the file of pin-source is empty" : "the file of pin-source cannot be read");
  }

  const std::string& text() const { return text_; }
  CK_UTF8CHAR* data() { return reinterpret_cast<CK_UTF8CHAR*>(text_.data()); }

 private:
  std::string text_;
};

absl::Status LogIn(const Module::Use& use, CK_SESSION_HANDLE session, const Token& token, const Uri& uri,
                   CK_USER_TYPE user) {
  if ((token.info.flags & (CKF_USER_PIN_LOCKED | CKF_USER_PIN_FINAL_TRY)) != 0) {
    return Error(absl::StatusCode::kFailedPrecondition, kPinLocked,
                 (token.info.flags & CKF_USER_PIN_LOCKED) != 0
                     ? "the token's user PIN is locked: its security officer must set it anew"
                     : "one more wrong PIN would lock the token, so none is tried: log in to it with its own "
                       "tools first");
  }
  if (uri.pin_source.empty() && (token.info.flags & CKF_PROTECTED_AUTHENTICATION_PATH) != 0) {
    const CK_RV rv = use->C_Login(session, user, nullptr, 0);  // the reader asks for it
    return rv == CKR_OK || rv == CKR_USER_ALREADY_LOGGED_IN ? absl::OkStatus() : FromReturn(rv, "log in");
  }
  Pin pin;
  RETURN_IF_ERROR(pin.Read(uri));
  const std::string token_and_pin = absl::StrCat(
      use.module().path(), absl::string_view("\0", 1), Padded(token.info.serialNumber),
      absl::string_view("\0", 1), Padded(token.info.label), absl::string_view("\0", 1), pin.text());
  if (IsRefusedPin(token_and_pin)) return FromReturn(CKR_PIN_INCORRECT, "log in");
  const CK_RV rv = use->C_Login(session, user, pin.data(), pin.text().size());
  if (rv == CKR_OK || rv == CKR_USER_ALREADY_LOGGED_IN) return absl::OkStatus();
  const absl::Status status = FromReturn(rv, "log in");
  if (ReasonOf(status) == kPinWrong) RememberRefusedPin(token_and_pin);
  return status;
}

absl::Status LogInUser(const Module::Use& use, CK_SESSION_HANDLE session, const Token& token,
                       const Uri& uri) {
  if ((token.info.flags & CKF_LOGIN_REQUIRED) == 0) return absl::OkStatus();
  absl::MutexLock lock(&use.module().login_mutex());
  // The login is the process's, not the session's.
  CK_SESSION_INFO info;
  if (const CK_RV rv = use->C_GetSessionInfo(session, &info); rv != CKR_OK) {
    return FromReturn(rv, "look at the session");
  }
  if (info.state == CKS_RO_USER_FUNCTIONS || info.state == CKS_RW_USER_FUNCTIONS) return absl::OkStatus();
  return LogIn(use, session, token, uri, CKU_USER);
}

absl::StatusOr<PublicKey> ReadCertificate(const Module::Use& use, const Session& session,
                                          CK_OBJECT_HANDLE object) {
  ASSIGN_OR_RETURN(const std::string der, GetBytes(use, session, object, CKA_VALUE));
  return KeyOfCertificate(der);
}

}  // namespace

absl::StatusOr<Session> OpenSession(const Module::Use& use, const Uri& uri, SessionOptions options) {
  RETURN_IF_ERROR(use.status());
  ASSIGN_OR_RETURN(const Token token, FindToken(use, uri));
  Session session;
  session.slot = token.slot;
  const CK_FLAGS flags = CKF_SERIAL_SESSION | (options.writable ? CKF_RW_SESSION : 0);
  if (const CK_RV rv = use->C_OpenSession(token.slot, flags, nullptr, nullptr, &session.handle);
      rv != CKR_OK) {
    return FromReturn(rv, "open a session");
  }
  if (!options.log_in) return session;
  if (const absl::Status status = LogInUser(use, session.handle, token, uri); !status.ok()) {
    use->C_CloseSession(session.handle);
    return status;
  }
  return session;
}

absl::Status LogInForKey(const Module::Use& use, const Session& session, const Uri& uri) {
  Token token{session.slot, {}};
  if (const CK_RV rv = use->C_GetTokenInfo(token.slot, &token.info); rv != CKR_OK) {
    return FromReturn(rv, "look at the token");
  }
  absl::MutexLock lock(&use.module().login_mutex());
  return LogIn(use, session.handle, token, uri, CKU_CONTEXT_SPECIFIC);
}

Template& Template::Number(CK_ATTRIBUTE_TYPE type, CK_ULONG value) {
  return Bytes(type, absl::string_view(reinterpret_cast<const char*>(&value), sizeof(value)));
}

Template& Template::Bool(CK_ATTRIBUTE_TYPE type, bool value) {
  return Bytes(type, absl::string_view(value ? "\1" : "\0", 1));
}

Template& Template::Bytes(CK_ATTRIBUTE_TYPE type, absl::string_view value) {
  values_.emplace_back(type, std::string(value));
  return *this;
}

CK_ATTRIBUTE* Template::data() {
  attributes_.clear();
  for (auto& [type, value] : values_) attributes_.push_back({type, value.data(), value.size()});
  return attributes_.data();
}

absl::StatusOr<std::vector<CK_OBJECT_HANDLE>> FindObjects(const Module::Use& use, const Session& session,
                                                          Template& wanted, size_t limit) {
  if (const CK_RV rv = use->C_FindObjectsInit(session.handle, wanted.data(), wanted.size()); rv != CKR_OK) {
    return FromReturn(rv, "look for objects");
  }
  std::vector<CK_OBJECT_HANDLE> found;
  CK_RV rv = CKR_OK;
  // A module may give them one at a time.
  while (found.size() < limit) {
    CK_OBJECT_HANDLE some[16];
    CK_ULONG count = 0;
    rv = use->C_FindObjects(session.handle, some, std::min<size_t>(16, limit - found.size()), &count);
    if (rv != CKR_OK || count == 0) break;
    found.insert(found.end(), some, some + std::min<CK_ULONG>(count, 16));
  }
  use->C_FindObjectsFinal(session.handle);
  if (rv != CKR_OK) return FromReturn(rv, "look for objects");
  return found;
}

absl::StatusOr<CK_OBJECT_HANDLE> FindObject(const Module::Use& use, const Session& session, const Uri& uri,
                                            CK_OBJECT_CLASS object_class) {
  Template wanted;
  wanted.Number(CKA_CLASS, object_class);
  if (!uri.object.empty()) wanted.Bytes(CKA_LABEL, uri.object);
  if (!uri.id.empty()) wanted.Bytes(CKA_ID, uri.id);
  ASSIGN_OR_RETURN(const std::vector<CK_OBJECT_HANDLE> found, FindObjects(use, session, wanted, 2));
  if (found.empty()) {
    return Error(absl::StatusCode::kNotFound, kKeyNotFound,
                 absl::StrCat("there is no key on the token that fits ", uri.ToString()));
  }
  if (found.size() > 1) {
    return Error(absl::StatusCode::kFailedPrecondition, kKeyAmbiguous,
                 absl::StrCat("several keys on the token fit ", uri.ToString(),
                              ": name one by object and id (`countersign key list` shows them)"));
  }
  return found.front();
}

absl::StatusOr<std::string> GetBytes(const Module::Use& use, const Session& session, CK_OBJECT_HANDLE object,
                                     CK_ATTRIBUTE_TYPE type) {
  CK_ATTRIBUTE attribute = {type, nullptr, 0};
  if (const CK_RV rv = use->C_GetAttributeValue(session.handle, object, &attribute, 1); rv != CKR_OK) {
    return FromReturn(rv, "read an attribute");
  }
  if (attribute.ulValueLen > kMaxAttribute) return FromReturn(CKR_DEVICE_MEMORY, "read an attribute");
  std::string value(attribute.ulValueLen, '\0');
  attribute.pValue = value.data();
  if (const CK_RV rv = use->C_GetAttributeValue(session.handle, object, &attribute, 1); rv != CKR_OK) {
    return FromReturn(rv, "read an attribute");
  }
  value.resize(std::min<size_t>(attribute.ulValueLen, value.size()));
  return value;
}

absl::StatusOr<CK_ULONG> GetNumber(const Module::Use& use, const Session& session, CK_OBJECT_HANDLE object,
                                   CK_ATTRIBUTE_TYPE type) {
  CK_ULONG value = 0;
  CK_ATTRIBUTE attribute = {type, &value, sizeof(value)};
  if (const CK_RV rv = use->C_GetAttributeValue(session.handle, object, &attribute, 1); rv != CKR_OK) {
    return FromReturn(rv, "read an attribute");
  }
  return value;
}

bool GetBool(const Module::Use& use, const Session& session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type,
             bool otherwise) {
  CK_BBOOL value = CK_FALSE;
  CK_ATTRIBUTE attribute = {type, &value, sizeof(value)};
  const CK_RV rv = use->C_GetAttributeValue(session.handle, object, &attribute, 1);
  return rv == CKR_OK && attribute.ulValueLen == sizeof(value) ? value != CK_FALSE : otherwise;
}

absl::StatusOr<PublicKey> ReadPublicKey(const Module::Use& use, const Session& session,
                                        CK_OBJECT_HANDLE object) {
  ASSIGN_OR_RETURN(const CK_ULONG type, GetNumber(use, session, object, CKA_KEY_TYPE));
  if (type == CKK_RSA) {
    ASSIGN_OR_RETURN(const std::string modulus, GetBytes(use, session, object, CKA_MODULUS));
    ASSIGN_OR_RETURN(const std::string exponent, GetBytes(use, session, object, CKA_PUBLIC_EXPONENT));
    return RsaFromNumbers(modulus, exponent);
  }
  if (type != CKK_EC && type != CKK_EC_EDWARDS) {
    return Error(absl::StatusCode::kFailedPrecondition, kKeyUnusable,
                 "the key on the token is neither ECDSA P-256, Ed25519 nor RSA");
  }
  ASSIGN_OR_RETURN(const std::string point, GetBytes(use, session, object, CKA_EC_POINT));
  return type == CKK_EC ? P256FromPoint(point) : Ed25519FromPoint(point);
}

absl::StatusOr<PublicKey> PublicKeyOf(const Module::Use& use, const Session& session,
                                      CK_OBJECT_HANDLE private_key) {
  const absl::StatusOr<std::string> id = GetBytes(use, session, private_key, CKA_ID);
  const bool by_id = id.ok() && !id->empty();
  std::string label;
  if (!by_id) {
    ASSIGN_OR_RETURN(label, GetBytes(use, session, private_key, CKA_LABEL));
  }
  for (const CK_OBJECT_CLASS object_class : {CKO_PUBLIC_KEY, CKO_CERTIFICATE}) {
    Template wanted;
    wanted.Number(CKA_CLASS, object_class);
    wanted.Bytes(by_id ? CKA_ID : CKA_LABEL, by_id ? *id : label);
    ASSIGN_OR_RETURN(const std::vector<CK_OBJECT_HANDLE> found, FindObjects(use, session, wanted, 2));
    if (found.size() > 1) {
      return Error(absl::StatusCode::kFailedPrecondition, kKeyAmbiguous,
                   "several public keys or certificates on the token have the private key's id");
    }
    if (found.size() == 1) {
      return object_class == CKO_PUBLIC_KEY ? ReadPublicKey(use, session, found.front())
                                            : ReadCertificate(use, session, found.front());
    }
  }
  return Error(
      absl::StatusCode::kFailedPrecondition, kKeyUnusable,
      "neither a public key nor a certificate on the token has the private key's id: store one beside it");
}

}  // namespace countersign::crypto::pkcs11
