#ifndef COUNTERSIGN_COMMON_TLOG_PROOF_H_
#define COUNTERSIGN_COMMON_TLOG_PROOF_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/tlog/checkpoint.h"
#include "common/tlog/merkle.h"
#include "common/tlog/note.h"

namespace countersign::tlog {

// A proof that something is in a log, to be verified offline (https://c2sp.org/tlog-proof).
struct OfflineProof {
  std::string extra;  // opaque, and authenticated by nothing; here it is the leaf
  int64_t index = 0;
  std::vector<Hash> hashes;
  std::string checkpoint;  // the signed head, as the log gave it

  // The file's bytes; an empty `extra` is left out.
  std::string Format() const;
  // INVALID_ARGUMENT (LOG_MALFORMED).
  static absl::StatusOr<OfflineProof> Parse(absl::string_view bytes);

  // The head under which `leaf` is proven to be in the log of `key`. INVALID_ARGUMENT (LOG_MALFORMED,
  // LOG_HEAD_NOT_SIGNED, LOG_PROOF_INVALID).
  absl::StatusOr<Checkpoint> Verify(absl::string_view leaf, const VerifierKey& key) const;
};

}  // namespace countersign::tlog

#endif  // COUNTERSIGN_COMMON_TLOG_PROOF_H_
