#ifndef COUNTERSIGN_COMMON_TLOG_CHECKPOINT_H_
#define COUNTERSIGN_COMMON_TLOG_CHECKPOINT_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/tlog/merkle.h"
#include "common/tlog/note.h"

// Tree heads (https://c2sp.org/tlog-checkpoint).
namespace countersign::tlog {

struct Checkpoint {
  std::string origin;  // which log
  int64_t size = 0;
  Hash root;

  friend bool operator==(const Checkpoint&, const Checkpoint&) = default;

  // The text of the note that is signed.
  std::string Text() const;
  // Reads the text; extension lines are allowed, and not kept. INVALID_ARGUMENT (LOG_MALFORMED).
  static absl::StatusOr<Checkpoint> Parse(absl::string_view text);
};

// A head as the log signs it. Its origin is the key's name. Errors as SignNote().
absl::StatusOr<std::string> SignCheckpoint(const Checkpoint& checkpoint, const crypto::Signer& signer);

// Reads a signed head, verified: `key` signed it, and its origin is the key's name. INVALID_ARGUMENT
// (LOG_MALFORMED, LOG_HEAD_NOT_SIGNED).
absl::StatusOr<Checkpoint> OpenCheckpoint(absl::string_view bytes, const VerifierKey& key);

}  // namespace countersign::tlog

#endif  // COUNTERSIGN_COMMON_TLOG_CHECKPOINT_H_
