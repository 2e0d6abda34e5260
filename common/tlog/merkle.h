#ifndef COUNTERSIGN_COMMON_TLOG_MERKLE_H_
#define COUNTERSIGN_COMMON_TLOG_MERKLE_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/crypto/digest.h"

// The Merkle tree of RFC 6962, section 2.1, with SHA-256. Sizes and indices are those of leaves.
namespace countersign::tlog {

// 32 raw bytes.
using Hash = std::string;
inline constexpr size_t kHashSize = crypto::kSha256Size;

// No tree is larger, so that sums of sizes do not overflow.
inline constexpr int64_t kMaxTreeSize = int64_t{1} << 62;

Hash LeafHash(absl::string_view entry);
Hash NodeHash(absl::string_view left, absl::string_view right);
// The root of the tree without leaves.
Hash EmptyRoot();

// The complete subtree over the leaves [index << height, (index + 1) << height).
struct Node {
  int height = 0;
  int64_t index = 0;

  friend bool operator==(const Node&, const Node&) = default;
};

// Where hashes of complete subtrees come from; errors come out of what asked.
using ReadNode = std::function<absl::StatusOr<Hash>(const Node&)>;

// The root of the first `size` leaves.
absl::StatusOr<Hash> TreeRoot(int64_t size, const ReadNode& read);

// The audit path of leaf `index` in the tree of `size` leaves (2.1.1), from the leaf's sibling upwards.
// INVALID_ARGUMENT (LOG_MALFORMED) unless 0 <= index < size.
absl::StatusOr<std::vector<Hash>> InclusionProof(int64_t index, int64_t size, const ReadNode& read);

// The proof that the first `old_size` of `size` leaves are those that the older tree had (2.1.2). Empty if
// `old_size` is 0 or `size`. INVALID_ARGUMENT (LOG_MALFORMED) unless 0 <= old_size <= size.
absl::StatusOr<std::vector<Hash>> ConsistencyProof(int64_t old_size, int64_t size, const ReadNode& read);

// OK if `proof` shows that the leaf with hash `leaf` is number `index` of the tree of `size` leaves with root
// `root`; INVALID_ARGUMENT (LOG_PROOF_INVALID).
absl::Status VerifyInclusion(absl::string_view leaf, int64_t index, int64_t size,
                             absl::Span<const Hash> proof, absl::string_view root);

// OK if `proof` shows that the tree of `size` leaves begins with the older tree; INVALID_ARGUMENT
// (LOG_PROOF_INVALID).
absl::Status VerifyConsistency(int64_t old_size, absl::string_view old_root, int64_t size,
                               absl::string_view root, absl::Span<const Hash> proof);

}  // namespace countersign::tlog

#endif  // COUNTERSIGN_COMMON_TLOG_MERKLE_H_
