#include "common/tlog/merkle.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/crypto/hex.h"
#include "common/testing/status_matchers.h"
#include "common/tlog/memory_log.h"
#include "common/tlog/reasons.h"

// PLUS-3
namespace countersign::tlog {
namespace {

// RFC 6962, section 2.1, as it is written there: the whole tree from all its entries, by recursion.
Hash NaiveRoot(const std::vector<std::string>& entries, size_t low, size_t high) {
  if (low == high) return EmptyRoot();
  if (high - low == 1) return LeafHash(entries[low]);
  size_t split = 1;
  while (split * 2 < high - low) split *= 2;
  return NodeHash(NaiveRoot(entries, low, low + split), NaiveRoot(entries, low + split, high));
}

// 2.1.1.
std::vector<Hash> NaivePath(size_t index, const std::vector<std::string>& entries, size_t low, size_t high) {
  if (high - low == 1) return {};
  size_t split = 1;
  while (split * 2 < high - low) split *= 2;
  const size_t middle = low + split;
  std::vector<Hash> path =
      index < middle ? NaivePath(index, entries, low, middle) : NaivePath(index, entries, middle, high);
  path.push_back(index < middle ? NaiveRoot(entries, middle, high) : NaiveRoot(entries, low, middle));
  return path;
}

// 2.1.2.
std::vector<Hash> NaiveConsistency(size_t old_size, const std::vector<std::string>& entries, size_t low,
                                   size_t high, bool whole) {
  if (old_size == high) return whole ? std::vector<Hash>() : std::vector<Hash>{NaiveRoot(entries, low, high)};
  size_t split = 1;
  while (split * 2 < high - low) split *= 2;
  const size_t middle = low + split;
  std::vector<Hash> proof = old_size <= middle ? NaiveConsistency(old_size, entries, low, middle, whole)
                                               : NaiveConsistency(old_size, entries, middle, high, false);
  proof.push_back(old_size <= middle ? NaiveRoot(entries, middle, high) : NaiveRoot(entries, low, middle));
  return proof;
}

struct Trees {
  std::vector<std::string> entries;
  MemoryLog log;
};

Trees RandomTree(int size, unsigned seed) {
  std::mt19937 random(seed);
  Trees trees;
  for (int i = 0; i < size; ++i) {
    std::string entry(random() % 40, '\0');
    for (char& c : entry) c = static_cast<char>(random());
    trees.entries.push_back(entry);
    trees.log.Append(entry);
  }
  return trees;
}

// The eight entries and the roots that Certificate Transparency's implementations test with
// (google/certificate-transparency, merkletree/merkle_tree_test.cc).
TEST(MerkleTest, TheTreesOfCertificateTransparencyHaveTheirRoots) {
  const char* const entries[] = {
      "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"};
  const char* const roots[] = {"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
                               "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
                               "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
                               "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
                               "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
                               "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
                               "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
                               "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"};
  EXPECT_EQ(crypto::HexEncode(EmptyRoot()),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  MemoryLog log;
  for (int i = 0; i < 8; ++i) {
    log.Append(crypto::HexDecode(entries[i]).value());
    EXPECT_EQ(crypto::HexEncode(TreeRoot(i + 1, log.Nodes()).value()), roots[i]) << i;
  }
}

TEST(MerkleTest, RootsAndProofsAreThoseOfTheDefinition) {
  constexpr int kSize = 70;
  const Trees trees = RandomTree(kSize, 1);
  for (int size = 0; size <= kSize; ++size) {
    const Hash root = NaiveRoot(trees.entries, 0, size);
    ASSERT_EQ(TreeRoot(size, trees.log.Nodes()).value(), root);
    for (int index = 0; index < size; ++index) {
      const std::vector<Hash> proof = InclusionProof(index, size, trees.log.Nodes()).value();
      ASSERT_EQ(proof, NaivePath(index, trees.entries, 0, size));
      ASSERT_OK(VerifyInclusion(LeafHash(trees.entries[index]), index, size, proof, root));
    }
    for (int old_size = 0; old_size <= size; ++old_size) {
      const std::vector<Hash> proof = ConsistencyProof(old_size, size, trees.log.Nodes()).value();
      if (old_size > 0) {
        ASSERT_EQ(proof, NaiveConsistency(old_size, trees.entries, 0, size, true));
      }
      ASSERT_OK(VerifyConsistency(old_size, NaiveRoot(trees.entries, 0, old_size), size, root, proof));
    }
  }
}

TEST(MerkleTest, AnAlteredProofIsRefused) {
  std::mt19937 random(2);
  for (int round = 0; round < 300; ++round) {
    const int size = 2 + static_cast<int>(random() % 200);
    const Trees trees = RandomTree(size, random());
    const ReadNode nodes = trees.log.Nodes();
    const Hash root = TreeRoot(size, nodes).value();
    const int index = static_cast<int>(random() % size);
    const int old_size = 1 + static_cast<int>(random() % (size - 1));
    const Hash old_root = TreeRoot(old_size, nodes).value();
    const Hash leaf = LeafHash(trees.entries[index]);

    for (bool inclusion : {true, false}) {
      const std::vector<Hash> good = inclusion ? InclusionProof(index, size, nodes).value()
                                               : ConsistencyProof(old_size, size, nodes).value();
      const auto verify = [&](const std::vector<Hash>& proof, const Hash& head) {
        return inclusion ? VerifyInclusion(leaf, index, size, proof, head)
                         : VerifyConsistency(old_size, old_root, size, head, proof);
      };
      ASSERT_OK(verify(good, root));
      std::vector<std::vector<Hash>> bad;
      for (size_t i = 0; i < good.size(); ++i) {
        bad.push_back(good);
        bad.back()[i][random() % kHashSize] ^= static_cast<char>(1 << random() % 8);
        bad.push_back(good);
        bad.back().erase(bad.back().begin() + static_cast<std::ptrdiff_t>(i));
        bad.push_back(good);
        bad.back()[i].pop_back();
      }
      bad.push_back(good);
      bad.back().push_back(Hash(kHashSize, 'x'));
      bad.push_back(good);
      bad.back().insert(bad.back().begin(), Hash(kHashSize, 'x'));
      for (const std::vector<Hash>& proof : bad) {
        ASSERT_THAT(verify(proof, root), StatusIs(absl::StatusCode::kInvalidArgument, kProofInvalid));
      }
      Hash other = root;
      other[0] ^= 1;
      ASSERT_THAT(verify(good, other), StatusIs(absl::StatusCode::kInvalidArgument, kProofInvalid));
      ASSERT_THAT(verify(good, ""), StatusIs(absl::StatusCode::kInvalidArgument, kProofInvalid));
    }
    // The right proof for something else.
    const std::vector<Hash> proof = InclusionProof(index, size, nodes).value();
    EXPECT_FALSE(VerifyInclusion(LeafHash("other"), index, size, proof, root).ok());
    EXPECT_FALSE(VerifyInclusion(leaf, index + 1, size, proof, root).ok());
    EXPECT_FALSE(VerifyInclusion(leaf, index - 1, size, proof, root).ok());
    Hash wrong = old_root;
    wrong[31] ^= 1;
    EXPECT_FALSE(
        VerifyConsistency(old_size, wrong, size, root, ConsistencyProof(old_size, size, nodes).value()).ok());
  }
}

TEST(MerkleTest, ATreeThatChangedAnOldEntryIsInconsistent) {
  for (int size : {5, 8, 64, 100}) {
    for (int changed : {0, 2, 4}) {
      const Trees trees = RandomTree(size, 3);
      MemoryLog forged;
      for (int i = 0; i < size; ++i) forged.Append(i == changed ? "forged" : trees.entries[i]);
      const int old_size = 5;
      EXPECT_FALSE(VerifyConsistency(old_size, trees.log.Head(old_size).root, size, forged.Head(size).root,
                                     ConsistencyProof(old_size, size, forged.Nodes()).value())
                       .ok());
    }
  }
}

TEST(MerkleTest, WhatIsOutsideTheTreeHasNoProof) {
  const Trees trees = RandomTree(5, 4);
  const ReadNode nodes = trees.log.Nodes();
  EXPECT_THAT(InclusionProof(5, 5, nodes), StatusIs(absl::StatusCode::kInvalidArgument, kMalformed));
  EXPECT_THAT(InclusionProof(-1, 5, nodes), StatusIs(absl::StatusCode::kInvalidArgument, kMalformed));
  EXPECT_THAT(ConsistencyProof(6, 5, nodes), StatusIs(absl::StatusCode::kInvalidArgument, kMalformed));
  EXPECT_THAT(TreeRoot(-1, nodes), StatusIs(absl::StatusCode::kInvalidArgument, kMalformed));
  EXPECT_FALSE(VerifyInclusion(LeafHash(""), 0, 0, {}, EmptyRoot()).ok());
  EXPECT_FALSE(VerifyConsistency(0, Hash(kHashSize, 'x'), 5, trees.log.Head(5).root, {}).ok());
  EXPECT_FALSE(VerifyConsistency(6, trees.log.Head(5).root, 5, trees.log.Head(5).root, {}).ok());
}

TEST(MerkleTest, AFaultOfTheStorageComesOut) {
  const ReadNode broken = [](const Node&) { return absl::UnavailableError("gone"); };
  EXPECT_THAT(TreeRoot(5, broken), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(InclusionProof(1, 5, broken), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(ConsistencyProof(1, 5, broken), StatusIs(absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace countersign::tlog
