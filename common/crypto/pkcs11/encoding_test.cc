#include "common/crypto/pkcs11/encoding.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "common/crypto/hex.h"
#include "common/crypto/signer.h"
#include "common/testing/status_matchers.h"
#include "gtest/gtest.h"

namespace countersign::crypto::pkcs11 {
namespace {

std::string Bytes(absl::string_view hex) { return HexDecode(hex).value(); }

// RFC 6979, A.2.5.
const char kPoint[] =
    "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb67903fe1008b8bc99a41ae9e95628bc64f2f1b2"
    "0c2d7e9f5177a3c294d4462299";

TEST(Pkcs11EncodingTest, RfcsSignatureBecomesDer) {
  ASSERT_OK_AND_ASSIGN(const PublicKey key, P256FromPoint(Bytes(kPoint)));
  // "sample" with SHA-256, r and s.
  ASSERT_OK_AND_ASSIGN(
      const std::string der,
      EcdsaSignatureToDer(Bytes("efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
                                "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8")));
  EXPECT_OK(key.Verify("sample", der));
}

TEST(Pkcs11EncodingTest, NumbersThatAreShortOrHighAreWrittenAsDerWantsThem) {
  const std::string zeros(62, '0');
  EXPECT_THAT(EcdsaSignatureToDer(Bytes(absl::StrCat(zeros, "01", zeros, "80"))),
              IsOkAndHolds(Bytes("30070201010202"
                                 "0080")));
  EXPECT_THAT(EcdsaSignatureToDer(std::string(64, '\0')), IsOkAndHolds(Bytes("3006020100020100")));
  EXPECT_FALSE(EcdsaSignatureToDer("").ok());
  EXPECT_FALSE(EcdsaSignatureToDer(std::string(96, 'a')).ok());
}

TEST(Pkcs11EncodingTest, OnlyTheDerOfASignatureIsReadBack) {
  const std::string raw = Bytes(absl::StrCat(std::string(62, '0'), "80", std::string(64, 'f')));
  ASSERT_OK_AND_ASSIGN(const std::string der, EcdsaSignatureToDer(raw));
  EXPECT_THAT(EcdsaSignatureFromDer(der), IsOkAndHolds(raw));
  EXPECT_FALSE(EcdsaSignatureFromDer(raw).ok());
  EXPECT_FALSE(EcdsaSignatureFromDer("").ok());
  EXPECT_FALSE(EcdsaSignatureFromDer(absl::StrCat(der, "x")).ok());
  EXPECT_FALSE(EcdsaSignatureFromDer(Bytes("3007020200010201ff")).ok());  // padded, negative
  for (size_t i = 0; i < der.size(); ++i) {
    EXPECT_FALSE(EcdsaSignatureFromDer(der.substr(0, i)).ok()) << i;
    std::string other = der;
    other[i] ^= 0x80;
    const absl::StatusOr<std::string> read = EcdsaSignatureFromDer(other);
    EXPECT_TRUE(!read.ok() || *read != raw) << i;
  }
}

TEST(Pkcs11EncodingTest, APointMayBeBareOrInAnOctetString) {
  ASSERT_OK_AND_ASSIGN(const PublicKey bare, P256FromPoint(Bytes(kPoint)));
  ASSERT_OK_AND_ASSIGN(const PublicKey wrapped, P256FromPoint(Bytes(absl::StrCat("0441", kPoint))));
  EXPECT_TRUE(bare == wrapped);

  // RFC 8032, 7.1.
  const char kKey[] = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
  ASSERT_OK_AND_ASSIGN(const PublicKey ed, PublicKey::FromTuf("ed25519", "ed25519", kKey));
  EXPECT_TRUE(Ed25519FromPoint(Bytes(kKey)).value() == ed);
  EXPECT_TRUE(Ed25519FromPoint(Bytes(absl::StrCat("0420", kKey))).value() == ed);
}

// About one key in 256 has a bare point that begins like an OCTET STRING.
TEST(Pkcs11EncodingTest, ABarePointThatLooksWrappedIsTakenForWhatItIs) {
  for (int i = 0; i < 5000; ++i) {
    ASSERT_OK_AND_ASSIGN(const PemSigner signer, PemSigner::Generate(KeyType::kEcdsaP256));
    const std::string point = signer.public_key().Der().substr(26);
    if (point[1] != 63) continue;
    ASSERT_OK_AND_ASSIGN(const PublicKey key, P256FromPoint(point));
    EXPECT_TRUE(key == signer.public_key());
    return;
  }
  FAIL() << "no such key in 5000";
}

TEST(Pkcs11EncodingTest, WhatIsNoPointIsRefused) {
  for (const std::string& hex :
       {std::string(""), std::string("04"), std::string(kPoint).substr(2), absl::StrCat("0440", kPoint),
        absl::StrCat(kPoint, "00"), absl::StrCat(std::string(kPoint).substr(0, 128), "00")}) {
    EXPECT_THAT(P256FromPoint(Bytes(hex)), StatusIs(absl::StatusCode::kInvalidArgument, kKeyInvalid)) << hex;
    EXPECT_THAT(Ed25519FromPoint(Bytes(hex)), StatusIs(absl::StatusCode::kInvalidArgument, kKeyInvalid))
        << hex;
  }
}

TEST(Pkcs11EncodingTest, AnRsaKeyIsPutTogetherFromItsNumbers) {
  ASSERT_OK_AND_ASSIGN(const PemSigner signer, PemSigner::Generate(KeyType::kRsaPss));
  const std::string& der = signer.public_key().Der();
  // ... 02 82 01 81 00 <384 bytes> 02 03 010001
  const std::string modulus = der.substr(der.size() - 5 - 384, 384);
  ASSERT_OK_AND_ASSIGN(const PublicKey key, RsaFromNumbers(modulus, Bytes("010001")));
  EXPECT_TRUE(key == signer.public_key());
  ASSERT_OK_AND_ASSIGN(const PublicKey padded,
                       RsaFromNumbers(std::string(2, '\0') + modulus, Bytes("00010001")));
  EXPECT_TRUE(padded == signer.public_key());
  EXPECT_FALSE(RsaFromNumbers("", "").ok());
  EXPECT_FALSE(RsaFromNumbers(modulus.substr(128), Bytes("010001")).ok());  // 2048 bits
  EXPECT_FALSE(RsaFromNumbers(std::string(5000, 'a'), Bytes("010001")).ok());
}

TEST(Pkcs11EncodingTest, WhatIsNoCertificateIsRefused) {
  EXPECT_FALSE(KeyOfCertificate("").ok());
  EXPECT_FALSE(KeyOfCertificate("nonsense").ok());
}

TEST(Pkcs11EncodingTest, TheCurvesHaveTheirNames) {
  EXPECT_EQ(HexEncode(P256Parameters()), "06082a8648ce3d030107");
  EXPECT_EQ(HexEncode(Ed25519Parameters()), "06032b6570");
}

}  // namespace
}  // namespace countersign::crypto::pkcs11
