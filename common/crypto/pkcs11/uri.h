#ifndef COUNTERSIGN_COMMON_CRYPTO_PKCS11_URI_H_
#define COUNTERSIGN_COMMON_CRYPTO_PKCS11_URI_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace countersign::crypto::pkcs11 {

// The reason of every error of ParseUri().
inline constexpr char kUriInvalid[] = "PKCS11_URI_INVALID";

// A PKCS#11 URI (RFC 7512), decoded. What is empty matches everything.
struct Uri {
  // The token.
  std::string token;
  std::string manufacturer;
  std::string model;
  std::string serial;
  std::optional<uint64_t> slot_id;

  // The object on it.
  std::string object;  // CKA_LABEL
  std::string id;      // CKA_ID, any bytes
  std::string type;    // private, public, cert, secret-key or data

  std::string module_path;  // the PKCS#11 library; always there, absolute
  std::string pin_source;   // the file with the user's PIN; absolute, or empty

  // Token and object in the form of a URI, for people: no module, no PIN file.
  std::string ToString() const;
};

// Reads a URI of the form
//
//   pkcs11:token=online;object=snapshot?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=/run/pin
//
// Stricter than the RFC where a guess could open the wrong thing: module-path is required, attributes that
// are not in Uri (library-*, slot-description, vendors') are refused, and so is pin-value, since command
// lines and configuration are seen by others. INVALID_ARGUMENT (PKCS11_URI_INVALID); the message never
// repeats a value.
absl::StatusOr<Uri> ParseUri(absl::string_view text);

}  // namespace countersign::crypto::pkcs11

#endif  // COUNTERSIGN_COMMON_CRYPTO_PKCS11_URI_H_
