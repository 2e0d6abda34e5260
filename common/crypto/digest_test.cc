#include "common/crypto/digest.h"

#include <algorithm>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/crypto/base64.h"
#include "common/crypto/hex.h"
#include "common/crypto/random.h"
#include "common/testing/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::crypto {
namespace {

TEST(DigestTest, Sha256AgreesWithFips180) {
  EXPECT_EQ(Sha256Hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Sha256Hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Sha256Hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(Sha256Hex(std::string(1'000'000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(DigestTest, AStreamGivesTheDigestOfItsPiecesAndBeginsAnew) {
  Sha256Stream stream;
  for (int i = 0; i < 1000; ++i) stream.Update(std::string(1000, 'a'));
  EXPECT_EQ(stream.FinishHex(), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  stream.Update("abc");
  EXPECT_EQ(stream.Finish(), Sha256("abc"));
  EXPECT_EQ(stream.Finish(), Sha256(""));
}

TEST(DigestTest, ADigestGoesOnFromItsStateInAnotherProcess) {
  const std::string bytes = RandomBytes(10'000);
  for (const size_t cut : {0u, 64u, 6'400u, 9'984u}) {
    ResumableSha256 first;
    // In pieces that fit no block.
    for (size_t at = 0; at < cut; at += 37) first.Update(bytes.substr(at, std::min<size_t>(37, cut - at)));
    EXPECT_EQ(first.Hex(), Sha256Hex(bytes.substr(0, cut)));
    ASSERT_OK_AND_ASSIGN(ResumableSha256 second, ResumableSha256::Restore(first.State()));
    EXPECT_EQ(second.size(), static_cast<int64_t>(cut));
    second.Update(bytes.substr(cut));
    EXPECT_EQ(second.Hex(), Sha256Hex(bytes));
  }
  for (const char* wrong : {"", "64", "63:", "64:abc", "x:", "-64:"})
    EXPECT_THAT(ResumableSha256::Restore(wrong), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ResumableSha256::Restore(absl::StrCat("63:", std::string(64, 'a'))),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(DigestTest, ALongDigestCountsItsBits) {
  // Over 2^32 bits, where the count takes a second word.
  ResumableSha256 digest;
  Sha256Stream stream;
  const std::string piece(8 << 20, 'x');
  for (int i = 0; i < 65; ++i) {
    digest.Update(piece);
    stream.Update(piece);
  }
  EXPECT_EQ(digest.Hex(), stream.FinishHex());
}

TEST(DigestTest, HmacAgreesWithRfc4231) {
  EXPECT_EQ(HexEncode(HmacSha256(std::string(20, '\x0b'), "Hi There")),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(HexEncode(HmacSha256("Jefe", "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

TEST(DigestTest, ConstantTimeEqualComparesEverything) {
  EXPECT_TRUE(ConstantTimeEqual("abc", "abc"));
  EXPECT_TRUE(ConstantTimeEqual("", ""));
  EXPECT_FALSE(ConstantTimeEqual("abc", "abd"));
  EXPECT_FALSE(ConstantTimeEqual("abc", "abcd"));
}

TEST(HexTest, BytesSurviveTheRoundTrip) {
  const std::string bytes("\x00\x7f\x80\xff", 4);
  EXPECT_EQ(HexEncode(bytes), "007f80ff");
  EXPECT_THAT(HexDecode("007F80ff"), IsOkAndHolds(bytes));
  EXPECT_THAT(HexDecode("0"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(HexDecode("0g"), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(HexTest, OnlyLowerCaseHexOfTheRightLengthIsADigest) {
  EXPECT_TRUE(IsSha256Hex(std::string(64, 'a')));
  EXPECT_FALSE(IsSha256Hex(std::string(64, 'A')));
  EXPECT_FALSE(IsSha256Hex(std::string(63, 'a')));
}

TEST(Base64Test, AgreesWithRfc4648AndIsStrict) {
  EXPECT_EQ(Base64Encode("foobar"), "Zm9vYmFy");
  EXPECT_EQ(Base64Encode("fooba"), "Zm9vYmE=");
  EXPECT_EQ(Base64Encode("\xfb\xff"), "+/8=");
  EXPECT_THAT(Base64Decode("Zm9vYmE="), IsOkAndHolds("fooba"));
  EXPECT_THAT(Base64Decode(""), IsOkAndHolds(""));
  for (const char* bad : {"Zm9vYmE", "Zm9v YmE=", "Zm9vYmF=", "-_8=", "Zm9vYmE=\n", "="}) {
    EXPECT_THAT(Base64Decode(bad), StatusIs(absl::StatusCode::kInvalidArgument)) << bad;
  }
}

TEST(RandomTest, NothingComesTwice) {
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(seen.insert(RandomHex(16)).second);
  EXPECT_EQ(RandomBytes(33).size(), 33u);
  EXPECT_EQ(RandomHex(8).size(), 16u);
}

TEST(RandomTest, AUuidHasVersionFour) {
  EXPECT_THAT(Uuid(),
              ::testing::MatchesRegex("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"));
}

}  // namespace
}  // namespace countersign::crypto
