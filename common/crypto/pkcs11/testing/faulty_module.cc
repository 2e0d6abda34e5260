// The module itself: built as a shared library that exports C_GetFunctionList and its Faults.
#include "common/crypto/pkcs11/testing/faulty_module.h"

#include <dlfcn.h>

#include <cstring>

using countersign::crypto::pkcs11::testing::Faults;

namespace {

Faults faults;
CK_FUNCTION_LIST* real = nullptr;
CK_FUNCTION_LIST table;

bool Fails(Faults::Failure& failure, CK_RV& rv) {
  int times = failure.times;
  while (times > 0 && !failure.times.compare_exchange_weak(times, times - 1)) {
  }
  rv = failure.rv;
  return times > 0;
}

CK_RV Initialize(void* arguments) {
  ++faults.initializes;
  CK_RV rv;
  return Fails(faults.initialize, rv) ? rv : real->C_Initialize(arguments);
}

CK_RV Finalize(void* reserved) {
  ++faults.finalizes;
  faults.sessions = 0;
  return real->C_Finalize(reserved);
}

CK_RV GetTokenInfo(CK_SLOT_ID slot, CK_TOKEN_INFO* info) {
  CK_RV rv;
  if (Fails(faults.get_token_info, rv)) return rv;
  rv = real->C_GetTokenInfo(slot, info);
  info->flags |= faults.token_flags;
  return rv;
}

CK_RV GetMechanismInfo(CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO* info) {
  if (faults.no_pss_of_digests && type == CKM_RSA_PKCS_PSS) return CKR_MECHANISM_INVALID;
  return real->C_GetMechanismInfo(slot, type, info);
}

CK_RV OpenSession(CK_SLOT_ID slot, CK_FLAGS flags, void* application, CK_NOTIFY notify,
                  CK_SESSION_HANDLE* session) {
  CK_RV rv;
  if (Fails(faults.open_session, rv)) return rv;
  rv = real->C_OpenSession(slot, flags, application, notify, session);
  if (rv == CKR_OK) {
    const int now = ++faults.sessions;
    int most = faults.max_sessions;
    while (most < now && !faults.max_sessions.compare_exchange_weak(most, now)) {
    }
  }
  return rv;
}

CK_RV CloseSession(CK_SESSION_HANDLE session) {
  --faults.sessions;
  return real->C_CloseSession(session);
}

CK_RV Login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR* pin, CK_ULONG size) {
  ++faults.logins;
  CK_RV rv;
  return Fails(faults.login, rv) ? rv : real->C_Login(session, user, pin, size);
}

CK_RV SignInit(CK_SESSION_HANDLE session, CK_MECHANISM* mechanism, CK_OBJECT_HANDLE key) {
  CK_RV rv;
  return Fails(faults.sign_init, rv) ? rv : real->C_SignInit(session, mechanism, key);
}

CK_RV Sign(CK_SESSION_HANDLE session, CK_BYTE* data, CK_ULONG size, CK_BYTE* signature,
           CK_ULONG* signature_size) {
  ++faults.signatures;
  CK_RV rv;
  if (Fails(faults.sign, rv)) return rv;
  rv = real->C_Sign(session, data, size, signature, signature_size);
  if (rv == CKR_OK && faults.wrong_signature) signature[*signature_size / 2] ^= 1;
  return rv;
}

CK_RV GetAttributeValue(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE* attributes,
                        CK_ULONG count) {
  const CK_RV rv = real->C_GetAttributeValue(session, object, attributes, count);
  if (rv != CKR_OK || !faults.bare_points || count != 1 || attributes->type != CKA_EC_POINT) return rv;
  if (attributes->pValue == nullptr) return rv;  // promises two bytes more than it gives
  auto* const bytes = static_cast<CK_BYTE*>(attributes->pValue);
  attributes->ulValueLen -= 2;
  memmove(bytes, bytes + 2, attributes->ulValueLen);
  return rv;
}

CK_RV FindObjectsInit(CK_SESSION_HANDLE session, CK_ATTRIBUTE* wanted, CK_ULONG count) {
  static CK_ULONG nothing = CKO_HW_FEATURE;
  for (CK_ULONG i = 0; faults.no_public_keys && i < count; ++i) {
    CK_ULONG value = CKO_PRIVATE_KEY;
    if (wanted[i].type == CKA_CLASS) memcpy(&value, wanted[i].pValue, sizeof(value));
    if (value == CKO_PUBLIC_KEY) wanted[i].pValue = &nothing;
  }
  return real->C_FindObjectsInit(session, wanted, count);
}

}  // namespace

extern "C" __attribute__((visibility("default"))) Faults* CountersignFaults() { return &faults; }

extern "C" __attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST** functions) {
  void* const library = dlopen("/usr/lib/softhsm/libsofthsm2.so", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return CKR_GENERAL_ERROR;
  reinterpret_cast<CK_C_GetFunctionList>(dlsym(library, "C_GetFunctionList"))(&real);
  table = *real;
  table.C_Initialize = &Initialize;
  table.C_Finalize = &Finalize;
  table.C_GetTokenInfo = &GetTokenInfo;
  table.C_GetMechanismInfo = &GetMechanismInfo;
  table.C_OpenSession = &OpenSession;
  table.C_CloseSession = &CloseSession;
  table.C_Login = &Login;
  table.C_SignInit = &SignInit;
  table.C_Sign = &Sign;
  table.C_GetAttributeValue = &GetAttributeValue;
  table.C_FindObjectsInit = &FindObjectsInit;
  *functions = &table;
  return CKR_OK;
}
