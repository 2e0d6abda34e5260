#ifndef COUNTERSIGN_COMMON_CRYPTO_DIGEST_H_
#define COUNTERSIGN_COMMON_CRYPTO_DIGEST_H_

#include <memory>
#include <string>

#include "absl/strings/string_view.h"

extern "C" {
typedef struct evp_md_ctx_st EVP_MD_CTX;
}

namespace countersign::crypto {

inline constexpr size_t kSha256Size = 32;

// SHA-256 (FIPS 180-4) of `bytes`: 32 raw bytes.
std::string Sha256(absl::string_view bytes);

// The same in 64 lower-case hex digits.
std::string Sha256Hex(absl::string_view bytes);

// HMAC-SHA-256 (RFC 2104) of `bytes`: 32 raw bytes.
std::string HmacSha256(absl::string_view key, absl::string_view bytes);

// Whether `a` equals `b`, in a time that depends on their lengths only.
bool ConstantTimeEqual(absl::string_view a, absl::string_view b);

// SHA-256 of what comes in pieces. Not thread-safe.
class Sha256Stream {
 public:
  Sha256Stream();

  void Update(absl::string_view bytes);

  // The digest of everything so far, 32 raw bytes; the stream then begins anew.
  std::string Finish();
  std::string FinishHex();

 private:
  struct Free {
    void operator()(EVP_MD_CTX* context) const;
  };
  std::unique_ptr<EVP_MD_CTX, Free> context_;
};

}  // namespace countersign::crypto

#endif  // COUNTERSIGN_COMMON_CRYPTO_DIGEST_H_
