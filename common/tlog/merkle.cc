#include "common/tlog/merkle.h"

#include <algorithm>
#include <bit>

#include "absl/strings/str_cat.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/tlog/reasons.h"

namespace countersign::tlog {
namespace {

constexpr char kLeafPrefix[] = {'\0'};
constexpr char kNodePrefix[] = {'\1'};

bool IsOdd(int64_t number) { return (number & 1) != 0; }

// The largest power of two below `count`, which is at least 2.
int64_t SplitPoint(int64_t count) { return std::bit_floor(static_cast<uint64_t>(count - 1)); }

// MTH(D[low:high]), where `low` is a multiple of every complete subtree that the range begins with, as in all
// ranges that RFC 6962's recursions come to.
absl::StatusOr<Hash> RangeHash(int64_t low, int64_t high, const ReadNode& read) {
  std::vector<Hash> subtrees;
  while (low < high) {
    const int height = std::bit_width(static_cast<uint64_t>(high - low)) - 1;
    ASSIGN_OR_RETURN(Hash hash, read({height, low >> height}));
    subtrees.push_back(std::move(hash));
    low += int64_t{1} << height;
  }
  Hash hash = std::move(subtrees.back());
  for (size_t i = subtrees.size() - 1; i-- > 0;) hash = NodeHash(subtrees[i], hash);
  return hash;
}

absl::Status NotInTree(absl::string_view what, int64_t number, int64_t size) {
  return Refuse(kMalformed, absl::StrCat("a tree of ", size, " entries has no ", what, " ", number));
}

absl::Status DoesNotFit(absl::string_view what) {
  return Refuse(kProofInvalid, absl::StrCat("the ", what, " proof does not lead to the log's head"));
}

bool AreHashes(absl::Span<const Hash> proof) {
  return std::all_of(proof.begin(), proof.end(), [](const Hash& hash) { return hash.size() == kHashSize; });
}

}  // namespace

absl::Status Refuse(absl::string_view reason, absl::string_view message) {
  return Error(absl::StatusCode::kInvalidArgument, reason, message);
}

Hash LeafHash(absl::string_view entry) {
  return crypto::Sha256(absl::StrCat(absl::string_view(kLeafPrefix, 1), entry));
}

Hash NodeHash(absl::string_view left, absl::string_view right) {
  return crypto::Sha256(absl::StrCat(absl::string_view(kNodePrefix, 1), left, right));
}

Hash EmptyRoot() { return crypto::Sha256(""); }

absl::StatusOr<Hash> TreeRoot(int64_t size, const ReadNode& read) {
  if (size < 0 || size > kMaxTreeSize) return Refuse(kMalformed, absl::StrCat("no tree has size ", size));
  if (size == 0) return EmptyRoot();
  return RangeHash(0, size, read);
}

absl::StatusOr<std::vector<Hash>> InclusionProof(int64_t index, int64_t size, const ReadNode& read) {
  if (index < 0 || index >= size || size > kMaxTreeSize) return NotInTree("entry", index, size);
  std::vector<Hash> proof;
  for (int64_t low = 0, high = size; high - low > 1;) {
    const int64_t middle = low + SplitPoint(high - low);
    const bool left = index < middle;
    ASSIGN_OR_RETURN(Hash sibling, left ? RangeHash(middle, high, read) : RangeHash(low, middle, read));
    proof.push_back(std::move(sibling));
    (left ? high : low) = middle;
  }
  std::reverse(proof.begin(), proof.end());
  return proof;
}

absl::StatusOr<std::vector<Hash>> ConsistencyProof(int64_t old_size, int64_t size, const ReadNode& read) {
  if (old_size < 0 || old_size > size || size > kMaxTreeSize)
    return NotInTree("head of size", old_size, size);
  std::vector<Hash> proof;
  if (old_size == 0) return proof;
  int64_t low = 0;
  int64_t high = size;
  while (old_size < high) {
    const int64_t middle = low + SplitPoint(high - low);
    const bool left = old_size <= middle;
    ASSIGN_OR_RETURN(Hash other, left ? RangeHash(middle, high, read) : RangeHash(low, middle, read));
    proof.push_back(std::move(other));
    (left ? high : low) = middle;
  }
  // The old tree is a complete subtree of the new one only if nothing lies before it; then its root is known.
  if (low > 0) {
    ASSIGN_OR_RETURN(Hash last, RangeHash(low, high, read));
    proof.push_back(std::move(last));
  }
  std::reverse(proof.begin(), proof.end());
  return proof;
}

// RFC 9162, 2.1.3.2, which says for the same proofs how they are verified.
absl::Status VerifyInclusion(absl::string_view leaf, int64_t index, int64_t size,
                             absl::Span<const Hash> proof, absl::string_view root) {
  if (index < 0 || index >= size || size > kMaxTreeSize || leaf.size() != kHashSize || !AreHashes(proof)) {
    return DoesNotFit("inclusion");
  }
  int64_t node = index;
  int64_t last = size - 1;
  Hash hash(leaf);
  for (const Hash& sibling : proof) {
    if (last == 0) return DoesNotFit("inclusion");
    if (IsOdd(node) || node == last) {
      hash = NodeHash(sibling, hash);
      while (node != 0 && !IsOdd(node)) {
        node >>= 1;
        last >>= 1;
      }
    } else {
      hash = NodeHash(hash, sibling);
    }
    node >>= 1;
    last >>= 1;
  }
  return last == 0 && hash == root ? absl::OkStatus() : DoesNotFit("inclusion");
}

// RFC 9162, 2.1.4.2.
absl::Status VerifyConsistency(int64_t old_size, absl::string_view old_root, int64_t size,
                               absl::string_view root, absl::Span<const Hash> proof) {
  if (old_size < 0 || old_size > size || size > kMaxTreeSize || !AreHashes(proof) ||
      old_root.size() != kHashSize || root.size() != kHashSize) {
    return DoesNotFit("consistency");
  }
  if (old_size == 0 || old_size == size) {
    const Hash expected = old_size == 0 ? EmptyRoot() : Hash(root);
    return proof.empty() && old_root == expected ? absl::OkStatus() : DoesNotFit("consistency");
  }
  int64_t node = old_size - 1;
  int64_t last = size - 1;
  while (IsOdd(node)) {
    node >>= 1;
    last >>= 1;
  }
  // A complete old tree is a node of the new one, and not repeated in the proof.
  const bool complete = std::has_single_bit(static_cast<uint64_t>(old_size));
  if (!complete && proof.empty()) return DoesNotFit("consistency");
  Hash old_hash = complete ? Hash(old_root) : proof[0];
  Hash new_hash = old_hash;
  for (const Hash& other : proof.subspan(complete ? 0 : 1)) {
    if (last == 0) return DoesNotFit("consistency");
    if (IsOdd(node) || node == last) {
      old_hash = NodeHash(other, old_hash);
      new_hash = NodeHash(other, new_hash);
      while (node != 0 && !IsOdd(node)) {
        node >>= 1;
        last >>= 1;
      }
    } else {
      new_hash = NodeHash(new_hash, other);
    }
    node >>= 1;
    last >>= 1;
  }
  return last == 0 && old_hash == old_root && new_hash == root ? absl::OkStatus() : DoesNotFit("consistency");
}

}  // namespace countersign::tlog
