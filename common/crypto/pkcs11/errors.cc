#include "common/crypto/pkcs11/errors.h"

#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/status/errors.h"

namespace countersign::crypto::pkcs11 {
namespace {

// The names that operators will search for.
std::string ReturnName(CK_RV rv) {
  static const auto* const kNames = new std::map<CK_RV, const char*>{
#define NAME(value) {value, #value}
      NAME(CKR_HOST_MEMORY),
      NAME(CKR_SLOT_ID_INVALID),
      NAME(CKR_GENERAL_ERROR),
      NAME(CKR_FUNCTION_FAILED),
      NAME(CKR_ARGUMENTS_BAD),
      NAME(CKR_ATTRIBUTE_TYPE_INVALID),
      NAME(CKR_ATTRIBUTE_VALUE_INVALID),
      NAME(CKR_DATA_INVALID),
      NAME(CKR_DATA_LEN_RANGE),
      NAME(CKR_DEVICE_ERROR),
      NAME(CKR_DEVICE_MEMORY),
      NAME(CKR_DEVICE_REMOVED),
      NAME(CKR_FUNCTION_CANCELED),
      NAME(CKR_FUNCTION_NOT_SUPPORTED),
      NAME(CKR_KEY_HANDLE_INVALID),
      NAME(CKR_KEY_TYPE_INCONSISTENT),
      NAME(CKR_KEY_FUNCTION_NOT_PERMITTED),
      NAME(CKR_MECHANISM_INVALID),
      NAME(CKR_MECHANISM_PARAM_INVALID),
      NAME(CKR_OBJECT_HANDLE_INVALID),
      NAME(CKR_OPERATION_ACTIVE),
      NAME(CKR_OPERATION_NOT_INITIALIZED),
      NAME(CKR_PIN_INCORRECT),
      NAME(CKR_PIN_INVALID),
      NAME(CKR_PIN_LEN_RANGE),
      NAME(CKR_PIN_EXPIRED),
      NAME(CKR_PIN_LOCKED),
      NAME(CKR_SESSION_CLOSED),
      NAME(CKR_SESSION_COUNT),
      NAME(CKR_SESSION_HANDLE_INVALID),
      NAME(CKR_SESSION_READ_ONLY),
      NAME(CKR_TOKEN_NOT_PRESENT),
      NAME(CKR_TOKEN_NOT_RECOGNIZED),
      NAME(CKR_TOKEN_WRITE_PROTECTED),
      NAME(CKR_TEMPLATE_INCONSISTENT),
      NAME(CKR_USER_NOT_LOGGED_IN),
      NAME(CKR_USER_PIN_NOT_INITIALIZED),
      NAME(CKR_USER_ANOTHER_ALREADY_LOGGED_IN),
      NAME(CKR_USER_TOO_MANY_TYPES),
      NAME(CKR_CRYPTOKI_NOT_INITIALIZED),
#undef NAME
  };
  const auto found = kNames->find(rv);
  return found == kNames->end() ? absl::StrFormat("CKR 0x%x", rv) : found->second;
}

}  // namespace

absl::Status FromReturn(CK_RV rv, absl::string_view action) {
  const std::string message = absl::StrCat("cannot ", action, ": ", ReturnName(rv));
  const auto fix = [&](absl::string_view reason, absl::string_view advice) {
    return Error(absl::StatusCode::kFailedPrecondition, reason, absl::StrCat(message, ". ", advice));
  };
  switch (rv) {
    case CKR_PIN_INCORRECT:
    case CKR_PIN_INVALID:
    case CKR_PIN_LEN_RANGE:
      return fix(kPinWrong,
                 "The PIN file's PIN is not the user's. It is not tried again before the file changes, since "
                 "tokens lock.");
    case CKR_PIN_LOCKED:
      return fix(kPinLocked, "The token's user PIN is locked: its security officer must set it anew.");
    case CKR_PIN_EXPIRED:
    case CKR_USER_PIN_NOT_INITIALIZED:
      return fix(kPinWrong, "The token's user PIN must be set first.");
    case CKR_KEY_TYPE_INCONSISTENT:
    case CKR_KEY_FUNCTION_NOT_PERMITTED:
    case CKR_MECHANISM_INVALID:
    case CKR_MECHANISM_PARAM_INVALID:
      return fix(kKeyUnusable, "The token does not let this key do this.");
    case CKR_DATA_INVALID:
    case CKR_DATA_LEN_RANGE:
      return fix(kDataRefused, "The token does not take data of this length.");
    default:
      return Error(absl::StatusCode::kUnavailable, kTokenFailed, message);
  }
}

bool MayPass(const absl::Status& status) {
  const std::string reason = ReasonOf(status);
  // After a token was taken out, some modules go on as if it were there, without objects.
  return reason == kTokenFailed || reason == kTokenAbsent || reason == kKeyNotFound ||
         reason == kModuleUnusable;
}

}  // namespace countersign::crypto::pkcs11
