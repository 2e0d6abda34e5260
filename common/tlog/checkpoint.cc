#include "common/tlog/checkpoint.h"

#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/crypto/base64.h"
#include "common/status/macros.h"
#include "common/tlog/decimal.h"
#include "common/tlog/reasons.h"

namespace countersign::tlog {

std::string Checkpoint::Text() const {
  return absl::StrCat(origin, "\n", size, "\n", crypto::Base64Encode(root), "\n");
}

absl::StatusOr<Checkpoint> Checkpoint::Parse(absl::string_view text) {
  const auto malformed = [](absl::string_view what) {
    return Refuse(kMalformed, absl::StrCat("the log's head ", what));
  };
  if (!absl::ConsumeSuffix(&text, "\n")) return malformed("has no newline at its end");
  const std::vector<absl::string_view> lines = absl::StrSplit(text, '\n');
  if (lines.size() < 3) return malformed("has fewer than three lines");
  for (absl::string_view line : lines) {
    if (line.empty()) return malformed("has an empty line");
  }
  const std::optional<int64_t> size = ParseDecimal(lines[1]);
  if (!size || *size > kMaxTreeSize) return malformed("has no size in its second line");
  absl::StatusOr<std::string> root = crypto::Base64Decode(lines[2]);
  if (!root.ok() || root->size() != kHashSize) return malformed("has no hash in its third line");
  return Checkpoint{std::string(lines[0]), *size, *std::move(root)};
}

absl::StatusOr<std::string> SignCheckpoint(const Checkpoint& checkpoint, const crypto::Signer& signer) {
  return SignNote(checkpoint.Text(), checkpoint.origin, signer);
}

absl::StatusOr<Checkpoint> OpenCheckpoint(absl::string_view bytes, const VerifierKey& key) {
  ASSIGN_OR_RETURN(const Note note, Note::Parse(bytes));
  RETURN_IF_ERROR(note.VerifyBy(key));
  ASSIGN_OR_RETURN(Checkpoint checkpoint, Checkpoint::Parse(note.text));
  if (checkpoint.origin != key.name()) {
    return Refuse(kSignatureInvalid,
                  absl::StrCat("the head is that of the log ", checkpoint.origin, ", not of ", key.name()));
  }
  return checkpoint;
}

}  // namespace countersign::tlog
