// EVP hides a digest's state, and ResumableSha256 is about nothing else.
#define OPENSSL_SUPPRESS_DEPRECATED

#include "common/crypto/digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/crypto/hex.h"

namespace countersign::crypto {
namespace {

// Looked up once: fetching an algorithm costs more than hashing a small document.
const EVP_MD* Algorithm() {
  static const EVP_MD* const algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  if (algorithm == nullptr) std::abort();  // an OpenSSL without SHA-256 cannot run this program
  return algorithm;
}

}  // namespace

std::string Sha256(absl::string_view bytes) {
  std::string digest(kSha256Size, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(),
         reinterpret_cast<unsigned char*>(digest.data()));
  return digest;
}

std::string Sha256Hex(absl::string_view bytes) { return HexEncode(Sha256(bytes)); }

std::string HmacSha256(absl::string_view key, absl::string_view bytes) {
  std::string digest(kSha256Size, '\0');
  unsigned int size = 0;
  HMAC(Algorithm(), key.data(), static_cast<int>(key.size()),
       reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(),
       reinterpret_cast<unsigned char*>(digest.data()), &size);
  return digest;
}

bool ConstantTimeEqual(absl::string_view a, absl::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

Sha256Stream::Sha256Stream() : context_(EVP_MD_CTX_new()) {
  EVP_DigestInit_ex2(context_.get(), Algorithm(), nullptr);
}

void Sha256Stream::Update(absl::string_view bytes) {
  EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size());
}

std::string Sha256Stream::Finish() {
  std::string digest(kSha256Size, '\0');
  EVP_DigestFinal_ex(context_.get(), reinterpret_cast<unsigned char*>(digest.data()), nullptr);
  EVP_DigestInit_ex2(context_.get(), Algorithm(), nullptr);
  return digest;
}

std::string Sha256Stream::FinishHex() { return HexEncode(Finish()); }

void Sha256Stream::Free::operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }

ResumableSha256::ResumableSha256() {
  SHA256_CTX context;
  SHA256_Init(&context);
  std::copy(std::begin(context.h), std::end(context.h), words_.begin());
}

absl::StatusOr<ResumableSha256> ResumableSha256::Restore(absl::string_view state) {
  const std::vector<absl::string_view> fields = absl::StrSplit(state, ':');
  ResumableSha256 restored;
  if (fields.size() != 2 || !IsLowerHex(fields[1], 64) || !absl::SimpleAtoi(fields[0], &restored.size_) ||
      restored.size_ % SHA256_CBLOCK != 0) {
    return absl::InvalidArgumentError("not the state of a SHA-256");
  }
  for (size_t i = 0; i < restored.words_.size(); ++i) {
    if (!absl::SimpleHexAtoi(fields[1].substr(8 * i, 8), &restored.words_[i]))
      return absl::InvalidArgumentError("not the state of a SHA-256");
  }
  return restored;
}

void ResumableSha256::Update(absl::string_view bytes) {
  size_ += bytes.size();
  if (!block_.empty()) {
    const size_t missing = std::min(SHA256_CBLOCK - block_.size(), bytes.size());
    absl::StrAppend(&block_, bytes.substr(0, missing));
    bytes.remove_prefix(missing);
    if (block_.size() < SHA256_CBLOCK) return;
  }
  SHA256_CTX context{};
  std::copy(words_.begin(), words_.end(), context.h);
  if (!block_.empty()) SHA256_Transform(&context, reinterpret_cast<const unsigned char*>(block_.data()));
  const size_t whole = bytes.size() - bytes.size() % SHA256_CBLOCK;
  if (whole > 0) SHA256_Update(&context, bytes.data(), whole);
  std::copy(std::begin(context.h), std::end(context.h), words_.begin());
  block_ = std::string(bytes.substr(whole));
}

std::string ResumableSha256::Hex() const {
  SHA256_CTX context{};
  context.md_len = kSha256Size;
  std::copy(words_.begin(), words_.end(), context.h);
  const uint64_t bits = (size_ - block_.size()) * 8;
  context.Nl = static_cast<SHA_LONG>(bits);
  context.Nh = static_cast<SHA_LONG>(bits >> 32);
  if (!block_.empty()) SHA256_Update(&context, block_.data(), block_.size());
  std::string digest(kSha256Size, '\0');
  SHA256_Final(reinterpret_cast<unsigned char*>(digest.data()), &context);
  return HexEncode(digest);
}

std::string ResumableSha256::State() const {
  std::string state = absl::StrCat(size_, ":");
  for (uint32_t word : words_) absl::StrAppend(&state, absl::Hex(word, absl::kZeroPad8));
  return state;
}

}  // namespace countersign::crypto
