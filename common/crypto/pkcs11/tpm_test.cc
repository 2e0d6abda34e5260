// FOTA-R4: keys in a TPM. swtpm is the TPM, tpm2-pkcs11 the way to it.

#include <memory>
#include <string>
#include <vector>

#include "common/crypto/open_signer.h"
#include "common/crypto/pkcs11/keys.h"
#include "common/crypto/pkcs11/signer.h"
#include "common/crypto/pkcs11/testing/soft_tpm.h"
#include "common/testing/fake_clock.h"
#include "common/testing/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::crypto::pkcs11 {
namespace {

using testing::SoftTpm;

// FOTA-R4
TEST(TpmTest, AKeyThatWasMadeInTheTpmSignsAndDoesNotLeaveIt) {
  SoftTpm tpm;
  ASSERT_OK_AND_ASSIGN(const PublicKey made, GenerateKey(tpm.Uri("identity"), KeyType::kEcdsaP256));
  ASSERT_OK_AND_ASSIGN(const std::vector<TokenKey> keys, ListKeys(tpm.Uri()));
  ASSERT_EQ(keys.size(), 1u);
  EXPECT_FALSE(keys[0].extractable);

  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Signer> signer, OpenSigner(tpm.Uri("identity")));
  EXPECT_EQ(signer->public_key().Pem(), made.Pem());
  ASSERT_OK_AND_ASSIGN(const std::string signature, signer->Sign("a report"));
  EXPECT_OK(made.Verify("a report", signature));
  EXPECT_THAT(made.Verify("another", signature), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(GenerateKey(tpm.Uri("identity"), KeyType::kEcdsaP256),
              StatusIs(absl::StatusCode::kAlreadyExists, "KEY_EXISTS"));
  EXPECT_THAT(OpenSigner(tpm.Uri("another")).status(), StatusIs(absl::StatusCode::kNotFound));
}

TEST(TpmTest, ATpmThatWasAwayIsFoundAgainAndHasKeptItsKeys) {
  SoftTpm tpm;
  FakeClock clock;
  ASSERT_OK_AND_ASSIGN(const PublicKey made, GenerateKey(tpm.Uri("identity"), KeyType::kEcdsaP256));
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Pkcs11Signer> signer,
                       Pkcs11Signer::Open(tpm.Uri("identity"), clock));
  ASSERT_OK(signer->Sign("a report"));
  tpm.PowerOff();
  EXPECT_THAT(signer->Sign("a report").status(), StatusIs(absl::StatusCode::kUnavailable));
  tpm.PowerOn();
  clock.Advance(absl::Minutes(1));
  ASSERT_OK_AND_ASSIGN(const std::string signature, signer->Sign("a report"));
  EXPECT_OK(made.Verify("a report", signature));
}

}  // namespace
}  // namespace countersign::crypto::pkcs11
