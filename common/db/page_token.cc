#include "common/db/page_token.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/status/errors.h"

namespace countersign::db {
namespace {

constexpr std::size_t kFingerprintSize = 8;
constexpr std::size_t kMaxTokenSize = 4096;

// FNV-1a: it only has to tell apart the lists of a client that mixes them up.
std::string Fingerprint(absl::string_view scope) {
  uint64_t hash = 14695981039346656037u;
  for (const char c : scope) hash = (hash ^ static_cast<uint8_t>(c)) * 1099511628211u;
  std::string bytes;
  for (std::size_t i = 0; i < kFingerprintSize; ++i) bytes.push_back(static_cast<char>(hash >> (8 * i)));
  return bytes;
}

absl::Status Invalid() {
  return Error(
      absl::StatusCode::kInvalidArgument, "PAGE_TOKEN_INVALID",
      "page_token is not one of this list: take the last answer's next_page_token and repeat its request's "
      "other fields, or leave it empty for the first page.");
}

}  // namespace

std::string EncodePageToken(absl::string_view scope, absl::Span<const std::string> keys) {
  std::string bytes = Fingerprint(scope);
  for (const std::string& key : keys) {
    for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(static_cast<char>(key.size() >> shift));
    bytes += key;
  }
  return absl::WebSafeBase64Escape(bytes);
}

absl::StatusOr<std::vector<std::string>> DecodePageToken(absl::string_view scope, absl::string_view token,
                                                         std::size_t key_count) {
  std::vector<std::string> keys;
  if (token.empty()) return keys;
  std::string bytes;
  if (token.size() > kMaxTokenSize || !absl::WebSafeBase64Unescape(token, &bytes)) return Invalid();
  absl::string_view rest = bytes;
  if (rest.substr(0, kFingerprintSize) != Fingerprint(scope)) return Invalid();
  rest.remove_prefix(kFingerprintSize);
  while (!rest.empty()) {
    if (rest.size() < 4) return Invalid();
    std::size_t size = 0;
    for (int i = 0; i < 4; ++i) size = size << 8 | static_cast<uint8_t>(rest[i]);
    rest.remove_prefix(4);
    if (size > rest.size()) return Invalid();
    const absl::string_view key = rest.substr(0, size);
    if (key.find('\0') != absl::string_view::npos) return Invalid();
    keys.emplace_back(key);
    rest.remove_prefix(size);
  }
  if (keys.size() != key_count) return Invalid();
  return keys;
}

absl::StatusOr<int> PageSize(int requested, int fallback, int limit) {
  if (requested < 0) {
    return Error(absl::StatusCode::kInvalidArgument, "PAGE_SIZE_INVALID",
                 absl::StrCat("page_size must not be negative: leave it 0 for ", fallback, " rows, at most ",
                              limit, "."));
  }
  return requested == 0 ? fallback : std::min(requested, limit);
}

}  // namespace countersign::db
