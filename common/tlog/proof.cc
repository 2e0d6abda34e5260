#include "common/tlog/proof.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/crypto/base64.h"
#include "common/status/macros.h"
#include "common/tlog/decimal.h"
#include "common/tlog/reasons.h"

namespace countersign::tlog {
namespace {

constexpr char kHeader[] = "c2sp.org/tlog-proof@v1";
constexpr size_t kMaxProofSize = 2 << 20;
constexpr size_t kMaxHashes = 63;

absl::Status Malformed(absl::string_view what) {
  return Refuse(kMalformed, absl::StrCat("the log's proof ", what));
}

// Takes the next line, without its newline, from the front of `text`; false at its end.
bool TakeLine(absl::string_view& text, absl::string_view& line) {
  const size_t end = text.find('\n');
  if (end == absl::string_view::npos) return false;
  line = text.substr(0, end);
  text.remove_prefix(end + 1);
  return true;
}

}  // namespace

std::string OfflineProof::Format() const {
  std::string text = absl::StrCat(kHeader, "\n");
  if (!extra.empty()) absl::StrAppend(&text, "extra ", crypto::Base64Encode(extra), "\n");
  absl::StrAppend(&text, "index ", index, "\n");
  for (const Hash& hash : hashes) absl::StrAppend(&text, crypto::Base64Encode(hash), "\n");
  absl::StrAppend(&text, "\n", checkpoint);
  return text;
}

absl::StatusOr<OfflineProof> OfflineProof::Parse(absl::string_view bytes) {
  if (bytes.size() > kMaxProofSize) return Malformed("is larger than 2 MiB");
  absl::string_view line;
  if (!TakeLine(bytes, line) || line != kHeader) return Malformed("does not begin as one");
  OfflineProof proof;
  if (!TakeLine(bytes, line)) return Malformed("ends early");
  if (absl::ConsumePrefix(&line, "extra ")) {
    absl::StatusOr<std::string> extra = crypto::Base64Decode(line);
    if (!extra.ok()) return Malformed("has extra data that is not Base64");
    proof.extra = *std::move(extra);
    if (!TakeLine(bytes, line)) return Malformed("ends early");
  }
  const std::optional<int64_t> index =
      absl::ConsumePrefix(&line, "index ") ? ParseDecimal(line) : std::nullopt;
  if (!index) return Malformed("has no index");
  proof.index = *index;
  while (true) {
    if (!TakeLine(bytes, line)) return Malformed("has no head");
    if (line.empty()) break;
    absl::StatusOr<std::string> hash = crypto::Base64Decode(line);
    if (!hash.ok() || hash->size() != kHashSize) return Malformed("has a line that is no hash");
    if (proof.hashes.size() == kMaxHashes) return Malformed("has more hashes than any tree is high");
    proof.hashes.push_back(*std::move(hash));
  }
  proof.checkpoint = std::string(bytes);
  return proof;
}

absl::StatusOr<Checkpoint> OfflineProof::Verify(absl::string_view leaf, const VerifierKey& key) const {
  ASSIGN_OR_RETURN(Checkpoint head, OpenCheckpoint(checkpoint, key));
  RETURN_IF_ERROR(VerifyInclusion(LeafHash(leaf), index, head.size, hashes, head.root));
  return head;
}

}  // namespace countersign::tlog
