#include "common/crypto/password.h"

#include <openssl/evp.h>

#include <cstdint>
#include <cstdlib>
#include <optional>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/crypto/digest.h"
#include "common/crypto/hex.h"
#include "common/crypto/random.h"

namespace countersign::crypto {
namespace {

constexpr uint64_t kCost = 16384, kBlock = 8, kParallel = 1;
constexpr uint64_t kMaxMemory = uint64_t{64} << 20;
constexpr size_t kSaltSize = 16, kHashSize = 32;

std::optional<std::string> Scrypt(absl::string_view password, absl::string_view salt, uint64_t cost,
                                  uint64_t block, uint64_t parallel) {
  std::string hash(kHashSize, '\0');
  if (EVP_PBE_scrypt(password.data(), password.size(), reinterpret_cast<const unsigned char*>(salt.data()),
                     salt.size(), cost, block, parallel, kMaxMemory,
                     reinterpret_cast<unsigned char*>(hash.data()), hash.size()) != 1) {
    return std::nullopt;
  }
  return hash;
}

}  // namespace

std::string HashPassword(absl::string_view password) {
  const std::string salt = RandomBytes(kSaltSize);
  const std::optional<std::string> hash = Scrypt(password, salt, kCost, kBlock, kParallel);
  if (!hash) std::abort();  // out of memory
  return absl::StrCat("scrypt$", kCost, "$", kBlock, "$", kParallel, "$", HexEncode(salt), "$",
                      HexEncode(*hash));
}

bool VerifyPassword(absl::string_view password, absl::string_view hash) {
  const std::vector<std::string> parts = absl::StrSplit(hash, '$');
  uint64_t cost, block, parallel;
  if (parts.size() != 6 || parts[0] != "scrypt" || !absl::SimpleAtoi(parts[1], &cost) ||
      !absl::SimpleAtoi(parts[2], &block) || !absl::SimpleAtoi(parts[3], &parallel) || parallel > 4) {
    return false;
  }
  const auto salt = HexDecode(parts[4]);
  const auto expected = HexDecode(parts[5]);
  if (!salt.ok() || !expected.ok() || expected->size() != kHashSize) return false;
  const std::optional<std::string> made = Scrypt(password, *salt, cost, block, parallel);
  return made && ConstantTimeEqual(*made, *expected);
}

}  // namespace countersign::crypto
