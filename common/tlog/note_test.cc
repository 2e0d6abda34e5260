#include "common/tlog/note.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/crypto/base64.h"
#include "common/crypto/signer.h"
#include "common/testing/status_matchers.h"
#include "common/tlog/checkpoint.h"
#include "common/tlog/memory_log.h"
#include "common/tlog/proof.h"
#include "common/tlog/reasons.h"

// PLUS-3
namespace countersign::tlog {
namespace {

// The example of https://c2sp.org/signed-note.
constexpr char kVkey[] = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
constexpr char kNote[] =
    "This is an example message.\n\n"
    "\xe2\x80\x94 example.com/foo "
    "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
constexpr char kOther[] = "\xe2\x80\x94 other.example AAAAAAAAAAAAAAAA\n";

crypto::PemSigner NewKey(crypto::KeyType type = crypto::KeyType::kEd25519) {
  return crypto::PemSigner::Generate(type).value();
}

TEST(NoteTest, TheSpecificationsExampleVerifies) {
  ASSERT_OK_AND_ASSIGN(const VerifierKey key, VerifierKey::Parse(kVkey));
  EXPECT_EQ(key.name(), "example.com/foo");
  EXPECT_EQ(key.id(), 0x530d903au);
  EXPECT_EQ(key.Format(), kVkey);
  ASSERT_OK_AND_ASSIGN(const Note note, Note::Parse(kNote));
  EXPECT_EQ(note.text, "This is an example message.\n");
  EXPECT_OK(note.VerifyBy(key));
}

TEST(NoteTest, SignaturesOfOthersAreIgnored) {
  ASSERT_OK_AND_ASSIGN(const VerifierKey key, VerifierKey::Parse(kVkey));
  ASSERT_OK_AND_ASSIGN(const Note note, Note::Parse(absl::StrCat(kNote, kOther)));
  EXPECT_EQ(note.signatures.size(), 2u);
  EXPECT_OK(note.VerifyBy(key));
  ASSERT_OK_AND_ASSIGN(const Note unknown, Note::Parse(absl::StrCat("text\n\n", kOther)));
  EXPECT_THAT(unknown.VerifyBy(key), StatusIs(absl::StatusCode::kInvalidArgument, kSignatureInvalid));
  // The same name with another key id is another key.
  const std::string renamed = absl::StrReplaceAll(kNote, {{"Uw2QOkn8", "Uw2QO0n8"}});
  ASSERT_OK_AND_ASSIGN(const Note other_id, Note::Parse(renamed));
  EXPECT_FALSE(other_id.VerifyBy(key).ok());
}

TEST(NoteTest, AnAlteredTextOrSignatureIsRefused) {
  ASSERT_OK_AND_ASSIGN(const VerifierKey key, VerifierKey::Parse(kVkey));
  for (const auto& [from, to] : {std::pair{"example message", "exbmple message"},
                                 {"This", "\nThis"},
                                 {"message.\n", "message.\n\n"},

                                 {"yaQM=", "yaQN="},
                                 {"srV1", "srV2"}}) {
    const std::string altered = absl::StrReplaceAll(kNote, {{from, to}});
    if (altered == kNote) continue;
    const absl::StatusOr<Note> note = Note::Parse(altered);
    EXPECT_FALSE(note.ok() && note->VerifyBy(key).ok()) << altered;
  }
  // A good signature does not excuse a bad one in the same name.
  ASSERT_OK_AND_ASSIGN(Note twice, Note::Parse(kNote));
  twice.signatures.push_back(twice.signatures[0]);
  EXPECT_OK(twice.VerifyBy(key));
  twice.signatures[1].bytes[0] ^= 1;
  EXPECT_THAT(twice.VerifyBy(key), StatusIs(absl::StatusCode::kInvalidArgument, kSignatureInvalid));
}

TEST(NoteTest, WhatIsNoNoteIsRefused) {
  const std::string good = kNote;
  for (const std::string& bytes :
       {std::string(), std::string("text\n"), std::string("text\n\n"), good.substr(0, good.size() - 1),
        absl::StrReplaceAll(good, {{"\xe2\x80\x94", "-"}}), absl::StrReplaceAll(good, {{"foo ", "foo"}}),
        absl::StrReplaceAll(good, {{"foo U", "foo  U"}}), absl::StrReplaceAll(good, {{"yaQM=", "yaQM"}}),
        absl::StrReplaceAll(good, {{"This", "Th\ris"}}),
        absl::StrReplaceAll(good, {{"This", std::string("Th\0s", 4)}}),
        absl::StrReplaceAll(good, {{"This", "Th\xff"}}),
        absl::StrReplaceAll(good, {{"This", "\xed\xa0\x80"}}),
        absl::StrReplaceAll(good, {{"This", "\xc0\xaf"}}), absl::StrReplaceAll(good, {{"This", "\xe2\x80"}}),
        absl::StrReplaceAll(good, {{"example.com/foo", "example.com+foo"}}),
        absl::StrReplaceAll(good, {{"example.com/foo",
                                    "example\xc2\xa0"
                                    "foo"}}),
        absl::StrCat(good, "\n"), absl::StrCat("text\n\n", "\xe2\x80\x94 name AAAAAA==\n"),
        absl::StrCat(std::string(1 << 20, 'x'), good)}) {
    EXPECT_THAT(Note::Parse(bytes), StatusIs(absl::StatusCode::kInvalidArgument, kMalformed))
        << bytes.substr(0, 100);
  }
  std::string many = "text\n\n";
  for (int i = 0; i < 65; ++i) many += kOther;
  EXPECT_FALSE(Note::Parse(many).ok());
  EXPECT_OK(Note::Parse(many.substr(0, many.size() - sizeof(kOther) + 1)));
}

TEST(NoteTest, WhatIsNoVkeyIsRefused) {
  const std::string good = kVkey;
  const std::string ecdsa =
      absl::StrCat("name+00000000+", crypto::Base64Encode(absl::StrCat("\x02", std::string(32, 'k'))));
  for (const std::string& vkey :
       {std::string(), std::string("name"), std::string("name+530d903a"), good.substr(1),
        absl::StrCat("x", good), absl::StrReplaceAll(good, {{"530d903a", "530d903b"}}),
        absl::StrReplaceAll(good, {{"530d903a", "530D903A"}}), absl::StrReplaceAll(good, {{"U2k", "U2l"}}),
        absl::StrCat(good, "A"), absl::StrCat(good, "\n"),
        absl::StrReplaceAll(good, {{"example.com/foo", "example .com"}}), ecdsa}) {
    EXPECT_THAT(VerifierKey::Parse(vkey), StatusIs(absl::StatusCode::kInvalidArgument)) << vkey;
  }
  EXPECT_FALSE(VerifierKey::Make("", NewKey().public_key()).ok());
  EXPECT_FALSE(VerifierKey::Make("a b", NewKey().public_key()).ok());
  EXPECT_FALSE(VerifierKey::Make("a", NewKey(crypto::KeyType::kEcdsaP256).public_key()).ok());
}

TEST(NoteTest, SignsOnlyWhatIsANote) {
  const crypto::PemSigner signer = NewKey();
  ASSERT_OK_AND_ASSIGN(const VerifierKey key, VerifierKey::Make("log.example/l", signer.public_key()));
  ASSERT_OK_AND_ASSIGN(const VerifierKey again, VerifierKey::Parse(key.Format()));
  ASSERT_OK_AND_ASSIGN(const std::string bytes, SignNote("a\n\nb\n", "log.example/l", signer));
  ASSERT_OK_AND_ASSIGN(const Note note, Note::Parse(bytes));
  EXPECT_EQ(note.text, "a\n\nb\n");
  EXPECT_OK(note.VerifyBy(again));
  EXPECT_FALSE(SignNote("no newline", "log.example/l", signer).ok());
  EXPECT_FALSE(SignNote("tab\t\n", "log.example/l", signer).ok());
  EXPECT_FALSE(SignNote("a\n", "log example", signer).ok());
}

TEST(NoteTest, NoBytesMakeItFail) {
  std::mt19937 random(5);
  ASSERT_OK_AND_ASSIGN(const VerifierKey key, VerifierKey::Parse(kVkey));
  for (int round = 0; round < 20000; ++round) {
    std::string bytes = kNote;
    for (unsigned change = random() % 4 + 1; change > 0; --change) {
      const size_t at = random() % bytes.size();
      if (random() % 3 == 0) {
        bytes.erase(at, random() % 8);
      } else {
        bytes[at] = static_cast<char>(random());
      }
      if (bytes.empty()) bytes = "x";
    }
    if (bytes == kNote) continue;
    const absl::StatusOr<Note> note = Note::Parse(bytes);
    EXPECT_FALSE(note.ok() && note->VerifyBy(key).ok()) << bytes;
    Checkpoint::Parse(bytes).IgnoreError();
    OfflineProof::Parse(bytes).IgnoreError();
    VerifierKey::Parse(bytes).IgnoreError();
  }
}

TEST(CheckpointTest, IsReadAsItIsWritten) {
  const std::string text =
      "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
  ASSERT_OK_AND_ASSIGN(const Checkpoint checkpoint, Checkpoint::Parse(text));
  EXPECT_EQ(checkpoint.origin, "example.com/behind-the-sofa");
  EXPECT_EQ(checkpoint.size, 20852163);
  EXPECT_EQ(checkpoint.Text(), text);
  EXPECT_THAT(Checkpoint::Parse(absl::StrCat(text, "an extension\n")), IsOkAndHolds(checkpoint));
}

TEST(CheckpointTest, WhatIsNoHeadIsRefused) {
  const std::string hash = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";
  for (const std::string& text :
       {std::string(), std::string("\n"), absl::StrCat("o\n1\n", hash), absl::StrCat("\n1\n", hash, "\n"),
        absl::StrCat("o\n01\n", hash, "\n"), absl::StrCat("o\n-1\n", hash, "\n"),
        absl::StrCat("o\n+1\n", hash, "\n"), absl::StrCat("o\n 1\n", hash, "\n"),
        absl::StrCat("o\n1x\n", hash, "\n"), absl::StrCat("o\n\n", hash, "\n"),
        absl::StrCat("o\n9223372036854775807\n", hash, "\n"),
        absl::StrCat("o\n99999999999999999999\n", hash, "\n"), std::string("o\n1\nCsUY\n"),
        std::string("o\n1\nnot base64\n"), absl::StrCat("o\n1\n", hash, "\n\n"),
        absl::StrCat("o\n1\n", hash, "\n\nextension\n")}) {
    EXPECT_THAT(Checkpoint::Parse(text), StatusIs(absl::StatusCode::kInvalidArgument, kMalformed)) << text;
  }
}

TEST(CheckpointTest, OnlyItsLogCanSignIt) {
  const crypto::PemSigner signer = NewKey();
  MemoryLog log;
  log.Append("a");
  ASSERT_OK_AND_ASSIGN(const std::string bytes, SignCheckpoint(log.Head(1, "log.example"), signer));
  const VerifierKey key = VerifierKey::Make("log.example", signer.public_key()).value();
  EXPECT_THAT(OpenCheckpoint(bytes, key), IsOkAndHolds(log.Head(1, "log.example")));
  EXPECT_THAT(OpenCheckpoint(bytes, VerifierKey::Make("log.example", NewKey().public_key()).value()),
              StatusIs(absl::StatusCode::kInvalidArgument, kSignatureInvalid));
  // The key of one log, with the head of another.
  ASSERT_OK_AND_ASSIGN(const std::string foreign,
                       SignNote(log.Head(1, "other.example").Text(), "log.example", signer));
  EXPECT_THAT(OpenCheckpoint(foreign, key), StatusIs(absl::StatusCode::kInvalidArgument, kSignatureInvalid));
}

class OfflineProofTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (int i = 0; i < 11; ++i) log_.Append(absl::StrCat("entry ", i));
    proof_.index = 5;
    proof_.extra = "entry 5";
    proof_.hashes = InclusionProof(5, 11, log_.Nodes()).value();
    proof_.checkpoint = SignCheckpoint(log_.Head(11, "log.example"), signer_).value();
  }

  const crypto::PemSigner signer_ = NewKey();
  const VerifierKey key_ = VerifierKey::Make("log.example", signer_.public_key()).value();
  MemoryLog log_;
  OfflineProof proof_;
};

TEST_F(OfflineProofTest, IsReadAsItIsWritten) {
  const std::string text = proof_.Format();
  EXPECT_TRUE(absl::StartsWith(text, "c2sp.org/tlog-proof@v1\nextra ZW50cnkgNQ==\nindex 5\n")) << text;
  EXPECT_TRUE(absl::StrContains(text, "=\n\nlog.example\n11\n")) << text;
  ASSERT_OK_AND_ASSIGN(const OfflineProof read, OfflineProof::Parse(text));
  EXPECT_EQ(read.Format(), text);
  EXPECT_EQ(read.extra, "entry 5");
  EXPECT_THAT(read.Verify("entry 5", key_), IsOkAndHolds(log_.Head(11, "log.example")));

  proof_.extra.clear();
  ASSERT_OK_AND_ASSIGN(const OfflineProof plain, OfflineProof::Parse(proof_.Format()));
  EXPECT_EQ(plain.extra, "");
  EXPECT_OK(plain.Verify("entry 5", key_));
}

TEST_F(OfflineProofTest, TheOnlyEntryNeedsNoHashes) {
  MemoryLog log;
  log.Append("only");
  const OfflineProof proof{"", 0, {}, SignCheckpoint(log.Head(1, "log.example"), signer_).value()};
  ASSERT_OK_AND_ASSIGN(const OfflineProof read, OfflineProof::Parse(proof.Format()));
  EXPECT_OK(read.Verify("only", key_));
}

TEST_F(OfflineProofTest, ProvesNothingElse) {
  EXPECT_THAT(proof_.Verify("entry 6", key_), StatusIs(absl::StatusCode::kInvalidArgument, kProofInvalid));
  EXPECT_THAT(proof_.Verify("entry 5", VerifierKey::Make("log.example", NewKey().public_key()).value()),
              StatusIs(absl::StatusCode::kInvalidArgument, kSignatureInvalid));
  proof_.index = 4;
  EXPECT_THAT(proof_.Verify("entry 5", key_), StatusIs(absl::StatusCode::kInvalidArgument, kProofInvalid));
  proof_.index = 5;
  proof_.hashes.pop_back();
  EXPECT_THAT(proof_.Verify("entry 5", key_), StatusIs(absl::StatusCode::kInvalidArgument, kProofInvalid));
}

TEST_F(OfflineProofTest, WhatIsNoProofIsRefused) {
  const std::string good = proof_.Format();
  for (const auto& [from, to] :
       std::vector<std::pair<std::string, std::string>>{{"proof@v1", "proof@v2"},
                                                        {"index 5", "index 05"},
                                                        {"index 5", "index -5"},
                                                        {"index 5", "index"},
                                                        {"index 5\n", ""},
                                                        {"extra Z", "extra %"},
                                                        {"=\n\nlog", "=\nlog"},
                                                        {"index 5\n", "index 5\nabcd\n"},
                                                        {"index 5\n", "index 5\nextra AAAA\n"}}) {
    EXPECT_THAT(OfflineProof::Parse(absl::StrReplaceAll(good, {{from, to}})),
                StatusIs(absl::StatusCode::kInvalidArgument, kMalformed))
        << from << " -> " << to;
  }
  for (size_t size = 0; size < good.find("\n\n"); size += 7) {
    EXPECT_FALSE(OfflineProof::Parse(good.substr(0, size)).ok());
  }
}

}  // namespace
}  // namespace countersign::tlog
