#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/crypto/hex.h"
#include "common/crypto/public_key.h"
#include "common/crypto/signer.h"
#include "common/file/file.h"
#include "common/testing/status_matchers.h"
#include "gtest/gtest.h"

namespace countersign::crypto {
namespace {

std::string Bytes(const std::string& hex) { return HexDecode(hex).value(); }

// RFC 8032, 7.1, tests 1 to 3.
struct Ed25519Vector {
  std::string public_key, message, signature;
};
const Ed25519Vector kEd25519Vectors[] = {
    {"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f"
     "0595bbe246551"
     "41438e7a100b"},
    {"3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2ea"
     "eb4302aeeb00d"
     "291612bb0c00"},
    {"fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e"
     "9716ed28dc027"
     "beceea1ec40a"},
};

TEST(PublicKeyTest, Ed25519AgreesWithRfc8032) {
  for (const Ed25519Vector& vector : kEd25519Vectors) {
    ASSERT_OK_AND_ASSIGN(const PublicKey key, PublicKey::FromTuf("ed25519", "ed25519", vector.public_key));
    EXPECT_OK(key.Verify(Bytes(vector.message), Bytes(vector.signature)));
    EXPECT_THAT(key.Verify(Bytes(vector.message) + "x", Bytes(vector.signature)),
                StatusIs(absl::StatusCode::kInvalidArgument, kSignatureInvalid));
  }
}

TEST(PublicKeyTest, Ed25519RefusesASignatureWithTheGroupOrderAdded) {
  // RFC 8032, 5.1.7: S must be below the group order, else one signature has many forms.
  ASSERT_OK_AND_ASSIGN(const PublicKey key,
                       PublicKey::FromTuf("ed25519", "ed25519", kEd25519Vectors[0].public_key));
  const std::string order = Bytes("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
  std::string signature = Bytes(kEd25519Vectors[0].signature);
  int carry = 0;
  for (int i = 0; i < 32; ++i) {
    const int sum =
        static_cast<unsigned char>(signature[32 + i]) + static_cast<unsigned char>(order[i]) + carry;
    signature[32 + i] = static_cast<char>(sum & 0xff);
    carry = sum >> 8;
  }
  EXPECT_THAT(key.Verify("", signature), StatusIs(absl::StatusCode::kInvalidArgument, kSignatureInvalid));
}

// RFC 6979, A.2.5, with SHA-256.
const char kRfc6979Key[] =
    "-----BEGIN PUBLIC KEY-----\n"
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYP7UuiVanTHJYet0xjVtaMBJuJI7\n"
    "Yfps5mliLmDyn7Z5A/4QCLi8maQa6elWKLxk8vGyDC1+n1F3o8KU1EYimQ==\n"
    "-----END PUBLIC KEY-----\n";

TEST(PublicKeyTest, EcdsaAgreesWithRfc6979) {
  ASSERT_OK_AND_ASSIGN(const PublicKey key, PublicKey::FromPem(kRfc6979Key));
  EXPECT_OK(
      key.Verify("sample", Bytes("3046022100efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf37160"
                                 "22100f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8")));
  EXPECT_OK(
      key.Verify("test", Bytes("3045022100f1abb023518351cd71d881567b1ea663ed3efcf6c5132b354f28d3b0b7d38367022"
                               "0019f4113742a2b14bd25926b49c649155f267e60d3814b4c0cc84250e46f0083")));
  EXPECT_FALSE(
      key.Verify("test", Bytes("3046022100efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716022"
                               "100f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"))
          .ok());
}

// Project Wycheproof, ecdsa_secp256r1_sha256_test.json: the first group's key, message "123400".
const char kWycheproofKey[] =
    "-----BEGIN PUBLIC KEY-----\n"
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEKSexBRK64+3c/kZ4KBKLrSkDJpkZ\n"
    "9whgacjE32xzKDjHeHlk6qwA5ZIfsUmKYPRgZ2az2WhQAVWNGpdOc0FRPg==\n"
    "-----END PUBLIC KEY-----\n";

TEST(PublicKeyTest, EcdsaAcceptsWycheproofsValidSignatureAndNoneOfItsDistortions) {
  ASSERT_OK_AND_ASSIGN(const PublicKey key,
                       PublicKey::FromTuf("ecdsa", "ecdsa-sha2-nistp256", kWycheproofKey));
  EXPECT_OK(
      key.Verify("123400", Bytes("304402202ba3a8be6b94d5ec80a6d9d1190a436effe50d85a1eee859b8cc6af9bd5c2e18022"
                                 "04cd60b855d442f5b3c7b11eb6c4e0ae7525fe710fab9aa7c77a67f79e6fadd76")));
  const struct {
    const char* what;
    const char* signature;
  } kBad[] = {
      {"r + n",
       "30450221012ba3a8bd6b94d5ed80a6d9d1190a436ebccc0833490686deac8635bcb9bf536902204cd60b855d442f5b3c7b11e"
       "b6c4e0ae7525fe710fab9aa7c77a67f79e6fadd76"},
      {"s + n",
       "304502202ba3a8be6b94d5ec80a6d9d1190a436effe50d85a1eee859b8cc6af9bd5c2e180221014cd60b845d442f5c3c7b11e"
       "b6c4e0ae70f46e1bea1d149016b604a3ce35e02c7"},
      {"n - r",
       "3045022100d45c5740946b2a147f59262ee6f5bc90bd01ed280528b62b3aed5fc93f06f73902204cd60b855d442f5b3c7b11e"
       "b6c4e0ae7525fe710fab9aa7c77a67f79e6fadd76"},
      {"r = 0", "302502010002204cd60b855d442f5b3c7b11eb6c4e0ae7525fe710fab9aa7c77a67f79e6fadd76"},
      {"s = 0", "302502202ba3a8be6b94d5ec80a6d9d1190a436effe50d85a1eee859b8cc6af9bd5c2e18020100"},
      {"r = s = 0", "3006020100020100"},
      {"r = n",
       "3045022100ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc63255102204cd60b855d442f5b3c7b11e"
       "b6c4e0ae7525fe710fab9aa7c77a67f79e6fadd76"},
      {"raw r and s",
       "2ba3a8be6b94d5ec80a6d9d1190a436effe50d85a1eee859b8cc6af9bd5c2e184cd60b855d442f5b3c7b11eb6c4e0ae7525fe"
       "710fab9aa7c77a67f79e6fadd76"},
      {"trailing byte",
       "304402202ba3a8be6b94d5ec80a6d9d1190a436effe50d85a1eee859b8cc6af9bd5c2e1802204cd60b855d442f5b3c7b11eb6"
       "c4e0ae7525fe710fab9aa7c77a67f79e6fadd7600"},
      {"indefinite length",
       "308002202ba3a8be6b94d5ec80a6d9d1190a436effe50d85a1eee859b8cc6af9bd5c2e1802204cd60b855d442f5b3c7b11eb6"
       "c4e0ae7525fe710fab9aa7c77a67f79e6fadd760000"},
      {"long form length",
       "30814402202ba3a8be6b94d5ec80a6d9d1190a436effe50d85a1eee859b8cc6af9bd5c2e1802204cd60b855d442f5b3c7b11e"
       "b6c4e0ae7525fe710fab9aa7c77a67f79e6fadd76"},
      {"empty", ""},
      {"truncated",
       "304402202ba3a8be6b94d5ec80a6d9d1190a436effe50d85a1eee859b8cc6af9bd5c2e1802204cd60b855d442f5b3c7b11eb6"
       "c4e0ae7525fe710fab9aa7c77a67f79e6fadd"},
      {"swapped",
       "304402204cd60b855d442f5b3c7b11eb6c4e0ae7525fe710fab9aa7c77a67f79e6fadd7602202ba3a8be6b94d5ec80a6d9d11"
       "90a436effe50d85a1eee859b8cc6af9bd5c2e18"},
  };
  for (const auto& bad : kBad) {
    EXPECT_THAT(key.Verify("123400", Bytes(bad.signature)),
                StatusIs(absl::StatusCode::kInvalidArgument, kSignatureInvalid))
        << bad.what;
  }
}

// Made with python-cryptography over "firmware".
const char kRsaKey[] =
    "-----BEGIN PUBLIC KEY-----\n"
    "MIIBojANBgkqhkiG9w0BAQEFAAOCAY8AMIIBigKCAYEAzsRj8xuhM+hXQm4Ai4yO\n"
    "fNmpAcZ/WuOW3pncXPWVuUaS8/vuac7aDVs4tiMa4XnWCFxKSk2zVBaTeoQ41pFL\n"
    "k//HH+QedyXvsr5x8pJbSJ8OZzLL6rw2mZnnKsLWgVaJoLyWqh+zhccqCmEFq/nQ\n"
    "e6PdzJBl7s/IIXdH4oF+PdQp6JfUsmvMQPLWUUor8tkKpktERrmlgaXJ92bKKWti\n"
    "/+aFoAN4r/6MpIx3Gp8lOD3HEsvmyyC/1JJzxgTd+707E6Sbt5mLna8bItanqAF3\n"
    "81SGe1DpJ+ACHbct0tinHuSx9VrIXzmVClzrEUuM+6HfLRt1G2EyZhwl83OSX6Z9\n"
    "bz2ZzEFcvreiNzK56aSztyYiNEbp/UTd58xfqEXRtHINkvsmrR5l7kUka9SY8JWE\n"
    "YZffD2Wu2oFQZ6zlWNHDtdye/FNSxYJxtI5eccyIBzKaiqx47Z4vfLAoy3jZPOcK\n"
    "LvynOD2YqKwaVqX5xMDcou31zsbDd6MixutBVjyoYg3nAgMBAAE=\n"
    "-----END PUBLIC KEY-----\n";
const char kRsaPssSalt32[] =
    "8db3ef3e8efe92ddce658051e1303c3a7fe362df121d73e885cdaaf58b1dfd7eb272f071392a1c8309f6cad4961b0f34"
    "8c07393ad262cc440603dd6ed0b5d5764f738bdc295d0e4ea136ba520af9c2f4f249390cb4cf8e4ad384e78169f4f9f9"
    "51f60b626bdfe1bb3bd850d6c936f69d9188c0841de33f9b49df20d27224cec615d555168dc7b5569b210043e11304b4"
    "0847a49092cd68ecb95029a1a441a8e5482dfde109da89f4f4d1d1fe3105a38e7d92d88e8d13ec17bddf4bfefbe3bd23"
    "9075715293d31aed5da624344cabc1661aaefa1e36a1156c3b49cc726177b5e623a5d247d8de7ff1fd3ad4df96d0139d"
    "d85186276e7c1f9d9b75356e8ee720d7cf0149d7425b95f599fe7cf7e4aac5dc373c0e2369540960259f0e26fea52b6a"
    "87a074919f683c9f71c7ba54fa157d9c6c9d1716e85eb6dccee24a282d67f0edf771655863bb2ba4ba9902ffeee77f60"
    "981790f24d173403ef946a190943e078d59d86f7faeeca1fee686b064b3bcccfd0bbc1cab669d747fe7fae8924384cd4";
const char kRsaPssSalt20[] =
    "4d0753d74e9a616fd18e7ac7e2e9cb193e6d439cad72f8cda65e438b37a58a4a4769d1490c8ce4de3263fa6d865f643f"
    "589e69368df33d774741ba63e457792212ce013a9d93ee335258849914d1fcca88fc4dba604f58b12ab4fc9e6537d79a"
    "f432664967e2168efc12eab84673e13f60ae6bfc5493f3db64458a6fefdc516f7586954bfae2921f5f97b5a23f1fdd42"
    "264bb1fb38fc51f96595ad31414d9ed1f1d3ba4ebebd1631957a1ada99685b3316b2d553e3c209983aff0900fa35dbdc"
    "2dbc8e2871582affa5ef208aca6ddd29be177a93b300cee41ed5ea2082cd1df5c9449258c30a889fc64ac8a973350d37"
    "de8ad1d59ddeff1d6f1972e2fd16ebd2d6a77dd9c60e6dbcf88a9959364b78f75488c6eda62c7192475e1e702cedc16c"
    "a975287532ec092f78fca825385547a3cc16c52ea0a078f1ed87cefd69ac9c96430a6ff38aa8ff897eb119f0d9aaa3a6"
    "8fe52d2a43991c26546e1cc0f41559c2991cf0b5311feb1909377d7ac83b2f1fa4b94422ac66e45a400e4696c5a040d9";
const char kRsaPkcs1[] =
    "2e19a68f1496deb16e87a4eafd6830fada00eb186b40c6901fed8077d83f2e1bc4300ee5bd35a8cc32be82d315a356a0"
    "525b66883cb7010b5e96317e93d2db028831282520d0123b0c6fc3bc02cd5403695a721cbe280c547982d3b7f569998a"
    "59da6a877c93cfb603bf9a5cc4860c620a66200596c1d84b8590ed0d55ba722edfbca62069b77baadff043c6cb3c9879"
    "9360a12d2b71b54a4d9ff7c8e9929a068fcce09b61892af40bba8bb3298353ec086108cf086c16a24c9abc31475d2408"
    "3470553e750516ace79670052992436a1114c91a5d3a53c2679a66c8ebff1eae76615e4024326a073a1ef2312ce9ebe1"
    "649f4e23c5337d87125118debde0cc0d394869376c179c0d91f3ad0cd2f0ecca3b3f792026a2931e1e24f7dd3d5c99aa"
    "b2617e77cf25d2e3c155e0e97c1cccb9bf2d3e01770efe8ec34978c05655366acaea3339df23f06970134ea541f68e4b"
    "da32eed191c2e8ddf2901b8f3207ea2ee18e9f91707be2c90f124f665987788a2844af68e61ec7045a9083ab4ee63d98";
const char kRsa2048Key[] =
    "-----BEGIN PUBLIC KEY-----\n"
    "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAjTzcD3/upFwRoA/9z7ql\n"
    "MQjc2WH61L+xaeL7+/l3AtXjzvDW4XOn0Bx9fuzliBaq9ZSA6Us51CwGGgFAocdZ\n"
    "RMftIEtDVa1KPlHftonS0LyhknEeadmw5f7OgVERmY6RD1iBiOVb/ZYXZOviXKzc\n"
    "0CjbV/XgUxwX9ZuTk3b3Dwa6imhQlVwAhT4pqv2uJvSVK/k3L0C8d1M+F0PZsAZg\n"
    "XTA0qyIthQX8810F7w6vsGVUqNR8+2yl1CHtjraevAf6ULxL4kcfuxb02iuv+XiO\n"
    "CQKLVwBVNc0XhWH4iX5bgWv1azUR0ycoTVpsZFwCIXy9pweSJCtp2InTRg3Om0OX\n"
    "LwIDAQAB\n"
    "-----END PUBLIC KEY-----\n";
const char kP384Key[] =
    "-----BEGIN PUBLIC KEY-----\n"
    "MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEvQhFudGMwbZnt4aQWONTGZlsJ/7eCs7a\n"
    "S1tNFJSniY2PIWmuuHznWANvHzP1PR7bn2P5ufoxzhHD7++Bmbu/CMDjQNKCuu2D\n"
    "wtWFZN0CGFtXpL7MGAEdk2LOb4IVVxR8\n"
    "-----END PUBLIC KEY-----\n";

TEST(PublicKeyTest, RsaTakesPssWithA32ByteSaltOnly) {
  ASSERT_OK_AND_ASSIGN(const PublicKey key, PublicKey::FromTuf("rsa", "rsassa-pss-sha256", kRsaKey));
  EXPECT_OK(key.Verify("firmware", Bytes(kRsaPssSalt32)));
  EXPECT_FALSE(key.Verify("firmware", Bytes(kRsaPssSalt20)).ok());
  EXPECT_FALSE(key.Verify("firmware", Bytes(kRsaPkcs1)).ok());
  EXPECT_FALSE(key.Verify("Firmware", Bytes(kRsaPssSalt32)).ok());
}

TEST(PublicKeyTest, WeakForeignAndMalformedKeysAreRefused) {
  const auto refused = StatusIs(absl::StatusCode::kInvalidArgument, kKeyInvalid);
  EXPECT_THAT(PublicKey::FromPem(kRsa2048Key), refused);
  EXPECT_THAT(PublicKey::FromPem(kP384Key), refused);
  EXPECT_THAT(PublicKey::FromPem(""), refused);
  EXPECT_THAT(PublicKey::FromPem("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"), refused);
  EXPECT_THAT(PublicKey::FromPem(std::string(100'000, 'A')), refused);
  EXPECT_THAT(PublicKey::FromTuf("ed25519", "ed25519", "d75a98"), refused);
  EXPECT_THAT(PublicKey::FromTuf("ed25519", "rsassa-pss-sha256", kRsaKey), refused);
  EXPECT_THAT(PublicKey::FromTuf("rsa", "rsassa-pss-sha512", kRsaKey), refused);
}

TEST(PublicKeyTest, AKeyUnderTheNameOfAnotherTypeIsRefused) {
  EXPECT_THAT(PublicKey::FromTuf("rsa", "rsassa-pss-sha256", kRfc6979Key),
              StatusIs(absl::StatusCode::kInvalidArgument, kKeyInvalid));
  EXPECT_THAT(PublicKey::FromTuf("ecdsa", "ecdsa-sha2-nistp256", kRsaKey),
              StatusIs(absl::StatusCode::kInvalidArgument, kKeyInvalid));
}

TEST(PublicKeyTest, ThePublishedFormOfAPemIsKeptAndTheKeyIsStillTheSame) {
  const std::string trimmed(kRfc6979Key, sizeof(kRfc6979Key) - 2);  // without the last newline
  ASSERT_OK_AND_ASSIGN(const PublicKey a, PublicKey::FromTuf("ecdsa", "ecdsa-sha2-nistp256", trimmed));
  ASSERT_OK_AND_ASSIGN(const PublicKey b, PublicKey::FromPem(kRfc6979Key));
  EXPECT_EQ(a.TufPublic(), trimmed);
  EXPECT_EQ(b.TufPublic(), kRfc6979Key);
  EXPECT_TRUE(a == b);
}

class SignerTest : public ::testing::TestWithParam<KeyType> {};

INSTANTIATE_TEST_SUITE_P(AllKeyTypes, SignerTest,
                         ::testing::Values(KeyType::kEd25519, KeyType::kEcdsaP256, KeyType::kRsaPss));

TEST_P(SignerTest, ASignatureVerifiesWithItsKeyAndItsMessageOnly) {
  ASSERT_OK_AND_ASSIGN(const PemSigner signer, PemSigner::Generate(GetParam()));
  ASSERT_OK_AND_ASSIGN(const PemSigner other, PemSigner::Generate(GetParam()));
  ASSERT_OK_AND_ASSIGN(const std::string signature, signer.Sign("message"));
  EXPECT_OK(signer.public_key().Verify("message", signature));
  EXPECT_FALSE(signer.public_key().Verify("messagf", signature).ok());
  EXPECT_FALSE(other.public_key().Verify("message", signature).ok());
  EXPECT_FALSE(signer.public_key() == other.public_key());
  for (size_t i = 0; i < signature.size(); i += 7) {
    std::string tampered = signature;
    tampered[i] = static_cast<char>(tampered[i] ^ 1);
    EXPECT_FALSE(signer.public_key().Verify("message", tampered).ok()) << "byte " << i;
  }
}

TEST_P(SignerTest, AKeySurvivesItsPem) {
  ASSERT_OK_AND_ASSIGN(const PemSigner signer, PemSigner::Generate(GetParam()));
  const std::string path = ::testing::TempDir() + "/key.pem";
  ASSERT_OK(WriteFileAtomically(path, signer.ToPem(), 0600));
  ASSERT_OK_AND_ASSIGN(const PemSigner loaded, PemSigner::Load(path));
  EXPECT_TRUE(loaded.public_key() == signer.public_key());
  EXPECT_EQ(loaded.public_key().type(), GetParam());
  ASSERT_OK_AND_ASSIGN(const std::string signature, loaded.Sign("x"));
  EXPECT_OK(signer.public_key().Verify("x", signature));

  const PublicKey& key = signer.public_key();
  ASSERT_OK_AND_ASSIGN(const PublicKey from_tuf,
                       PublicKey::FromTuf(key.TufKeyType(), key.TufScheme(), key.TufPublic()));
  EXPECT_TRUE(from_tuf == key);
  ASSERT_OK_AND_ASSIGN(const PublicKey from_pem, PublicKey::FromPem(key.Pem()));
  EXPECT_EQ(from_pem.TufPublic(), key.TufPublic());
}

TEST(PemSignerTest, WhatIsNoPrivateKeyIsRefused) {
  EXPECT_THAT(PemSigner::Parse("nonsense"), StatusIs(absl::StatusCode::kInvalidArgument, kKeyInvalid));
  EXPECT_THAT(PemSigner::Parse(kRsaKey), StatusIs(absl::StatusCode::kInvalidArgument, kKeyInvalid));
  EXPECT_THAT(PemSigner::Load("/nowhere/key.pem"), StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace countersign::crypto
