// Interoperation with the Go checksum database's library: the same trees, proofs, tiles and notes, to the
// byte.
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/crypto/base64.h"
#include "common/crypto/digest.h"
#include "common/crypto/signer.h"
#include "common/file/file.h"
#include "common/testing/status_matchers.h"
#include "common/tlog/checkpoint.h"
#include "common/tlog/memory_log.h"
#include "common/tlog/merkle.h"
#include "common/tlog/note.h"
#include "nlohmann/json.hpp"

// PLUS-3
namespace countersign::tlog {
namespace {

using nlohmann::json;

class SumdbTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    vectors_ = new json(json::parse(ReadFile("common/tlog/testdata/sumdb.json").value()));
    log_ = new MemoryLog;
    for (int64_t i = 0; i < vectors_->at("tree_size").get<int64_t>(); ++i)
      log_->Append(absl::StrCat("entry ", i));
  }

  static std::vector<Hash> Hashes(const json& lines) {
    std::vector<Hash> hashes;
    for (const json& line : lines) hashes.push_back(crypto::Base64Decode(line.get<std::string>()).value());
    return hashes;
  }

  static json* vectors_;
  static MemoryLog* log_;
};
json* SumdbTest::vectors_ = nullptr;
MemoryLog* SumdbTest::log_ = nullptr;

TEST_F(SumdbTest, RootsAreTheSame) {
  for (const json& vector : vectors_->at("roots")) {
    const int64_t size = vector["size"];
    EXPECT_EQ(crypto::Base64Encode(TreeRoot(size, log_->Nodes()).value()), vector["root"].get<std::string>())
        << size;
  }
}

TEST_F(SumdbTest, InclusionProofsAreTheSame) {
  for (const json& vector : vectors_->at("inclusion")) {
    const int64_t index = vector["index"];
    const int64_t size = vector["size"];
    const std::vector<Hash> theirs = Hashes(vector["proof"]);
    EXPECT_EQ(InclusionProof(index, size, log_->Nodes()).value(), theirs) << index << " of " << size;
    EXPECT_OK(
        VerifyInclusion(LeafHash(absl::StrCat("entry ", index)), index, size, theirs, log_->Head(size).root));
  }
}

TEST_F(SumdbTest, ConsistencyProofsAreTheSame) {
  for (const json& vector : vectors_->at("consistency")) {
    const int64_t old_size = vector["old_size"];
    const int64_t size = vector["size"];
    const std::vector<Hash> theirs = Hashes(vector["proof"]);
    EXPECT_EQ(ConsistencyProof(old_size, size, log_->Nodes()).value(), theirs) << old_size << " of " << size;
    EXPECT_OK(VerifyConsistency(old_size, log_->Head(old_size).root, size, log_->Head(size).root, theirs));
  }
}

TEST_F(SumdbTest, TilesAreTheSame) {
  for (const json& vector : vectors_->at("tiles")) {
    const std::string path = vector["path"];
    EXPECT_EQ(crypto::Sha256Hex(log_->File(path).value()), vector["sha256"].get<std::string>()) << path;
  }
}

TEST_F(SumdbTest, HeadsAreTheSame) {
  const std::string theirs = vectors_->at("checkpoint");
  const Checkpoint head = log_->Head(log_->size(), "home.example/image-repository");
  ASSERT_OK_AND_ASSIGN(const VerifierKey key, VerifierKey::Parse(vectors_->at("vkey").get<std::string>()));
  EXPECT_THAT(OpenCheckpoint(theirs, key), IsOkAndHolds(head));

  // PKCS#8 of an Ed25519 key (RFC 8410) before the 32 bytes of the key itself.
  const std::string pkcs8("\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20", 16);
  ASSERT_OK_AND_ASSIGN(
      const crypto::PemSigner signer,
      crypto::PemSigner::Parse(absl::StrCat("-----BEGIN PRIVATE KEY-----\n",
                                            crypto::Base64Encode(absl::StrCat(pkcs8, std::string(32, '\7'))),
                                            "\n-----END PRIVATE KEY-----\n")));
  EXPECT_EQ(VerifierKey::Make(key.name(), signer.public_key()).value().Format(), key.Format());
  EXPECT_THAT(SignCheckpoint(head, signer), IsOkAndHolds(theirs));
}

}  // namespace
}  // namespace countersign::tlog
