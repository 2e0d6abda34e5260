#include "common/crypto/derived_key.h"

#include "common/testing/status_matchers.h"
#include "gtest/gtest.h"

namespace countersign::crypto {
namespace {

class DerivedKeyTest : public ::testing::TestWithParam<KeyType> {};

TEST_P(DerivedKeyTest, SignsWhatItsPublicHalfVerifies) {
  ASSERT_OK_AND_ASSIGN(const PemSigner signer, DeriveSigner(GetParam(), "seed/1"));
  EXPECT_EQ(signer.public_key().type(), GetParam());
  ASSERT_OK_AND_ASSIGN(const std::string signature, signer.Sign("message"));
  EXPECT_OK(signer.public_key().Verify("message", signature));
  EXPECT_FALSE(signer.public_key().Verify("another", signature).ok());
}

TEST_P(DerivedKeyTest, IsTheSameForTheSameSecretAndAnotherForAnother) {
  ASSERT_OK_AND_ASSIGN(const PemSigner first, DeriveSigner(GetParam(), "seed/1"));
  ASSERT_OK_AND_ASSIGN(const PemSigner again, DeriveSigner(GetParam(), "seed/1"));
  ASSERT_OK_AND_ASSIGN(const PemSigner other, DeriveSigner(GetParam(), "seed/2"));
  EXPECT_EQ(first.ToPem(), again.ToPem());
  EXPECT_NE(first.ToPem(), other.ToPem());
}

INSTANTIATE_TEST_SUITE_P(Types, DerivedKeyTest, ::testing::Values(KeyType::kEd25519, KeyType::kEcdsaP256));

// RFC 8032 gives the public key of a raw private key; the derivation fixes the raw one. A fleet that was
// provisioned with one release has to be itself with the next.
TEST(DerivedKey, StaysWhatItWas) {
  ASSERT_OK_AND_ASSIGN(const PemSigner ed25519, DeriveSigner(KeyType::kEd25519, "seed/1"));
  EXPECT_EQ(ed25519.public_key().TufPublic(),
            "4031bf4c753fd51c71e0919adf93ced11af510d1fb1e61681211fc12cbdb44ac");
  ASSERT_OK_AND_ASSIGN(const PemSigner p256, DeriveSigner(KeyType::kEcdsaP256, "seed/1"));
  EXPECT_EQ(p256.public_key().TufPublic(),
            "-----BEGIN PUBLIC KEY-----\n"
            "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaZt1tR9KXaMW8t32GAB8YxdFredn\n"
            "Y2drvJoaH45v0gN5e5ZKVJcX9AHrwpXmvgX+LvY4zBoJtCMrRoTN8nbhqQ==\n"
            "-----END PUBLIC KEY-----\n");
}

TEST(DerivedKey, OfTypeRsaIsRefused) {
  EXPECT_THAT(DeriveSigner(KeyType::kRsaPss, "seed").status(), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace countersign::crypto
