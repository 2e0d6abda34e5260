#ifndef COUNTERSIGN_COMMON_CRYPTO_DIGEST_H_
#define COUNTERSIGN_COMMON_CRYPTO_DIGEST_H_

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
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

// SHA-256 of what comes in pieces, whose state can be kept and gone on with in another process. Copyable;
// not thread-safe.
class ResumableSha256 {
 public:
  ResumableSha256();
  // What State() gave. INVALID_ARGUMENT for anything else.
  static absl::StatusOr<ResumableSha256> Restore(absl::string_view state);

  void Update(absl::string_view bytes);

  // Bytes so far.
  int64_t size() const { return static_cast<int64_t>(size_); }
  // The digest of everything so far in lower-case hex; more may follow.
  std::string Hex() const;
  // Everything that Restore() needs, in printable characters. Only where size() is a multiple of 64.
  std::string State() const;

 private:
  std::array<uint32_t, 8> words_;  // FIPS 180-4's H
  uint64_t size_ = 0;
  std::string block_;  // what is short of a whole block
};

}  // namespace countersign::crypto

#endif  // COUNTERSIGN_COMMON_CRYPTO_DIGEST_H_
