// SC-GEN-11: the card verifies. SoftHSM is the card.
#include "common/crypto/pkcs11/verifier.h"

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/crypto/digest.h"
#include "common/crypto/hex.h"
#include "common/crypto/pkcs11/encoding.h"
#include "common/crypto/pkcs11/errors.h"
#include "common/crypto/pkcs11/keys.h"
#include "common/crypto/pkcs11/signer.h"
#include "common/crypto/pkcs11/testing/card.h"
#include "common/crypto/pkcs11/testing/soft_hsm.h"
#include "common/crypto/pkcs11/uri.h"
#include "common/testing/fake_clock.h"
#include "common/testing/status_matchers.h"
#include "gtest/gtest.h"

namespace countersign::crypto::pkcs11 {
namespace {

using testing::SoftHsm;

const auto kBad = [] { return StatusIs(absl::StatusCode::kInvalidArgument, kSignatureInvalid); };

class Pkcs11VerifierTest : public ::testing::TestWithParam<KeyType> {
 protected:
  Pkcs11VerifierTest() { hsm_.AddToken("card"); }
  std::unique_ptr<Pkcs11Verifier> Open(absl::string_view pin_file = "") {
    return Pkcs11Verifier::Open(hsm_.Uri("card", "", SoftHsm::Module(), pin_file), clock_).value();
  }

  SoftHsm hsm_;
  FakeClock clock_;
};

INSTANTIATE_TEST_SUITE_P(AllKeyTypes, Pkcs11VerifierTest,
                         ::testing::Values(KeyType::kEd25519, KeyType::kEcdsaP256, KeyType::kRsaPss));

TEST_P(Pkcs11VerifierTest, TheCardSaysWhatThePublicKeyWould) {
  const std::string uri = absl::StrCat("pkcs11:token=card;object=k;id=%01%02?module-path=", SoftHsm::Module(),
                                       "&pin-source=", hsm_.PinFile());
  ASSERT_OK(GenerateKey(uri, GetParam()));
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Pkcs11Signer> signer, Pkcs11Signer::Open(uri));
  ASSERT_OK_AND_ASSIGN(const std::string signature, signer->Sign("message"));
  const std::unique_ptr<Pkcs11Verifier> card = Open();
  EXPECT_OK(card->Verify("0102", "message", signature));
  EXPECT_THAT(card->Verify("0102", "massage", signature), kBad());
  EXPECT_THAT(card->Verify("0102", "message", ""), kBad());
  EXPECT_THAT(card->Verify("0102", "message", "nonsense"), kBad());
  std::string tampered = signature;
  tampered[tampered.size() / 2] ^= 1;
  EXPECT_THAT(card->Verify("0102", "message", tampered), kBad());
  for (const char* const stranger : {"0103", "01", "", "xy"}) {
    EXPECT_THAT(card->Verify(stranger, "message", signature),
                StatusIs(absl::StatusCode::kNotFound, kVerifierUnknownKey));
  }
}

TEST_F(Pkcs11VerifierTest, ASecretVerifiesTheHmacOfTheDigest) {
  const std::string secret = "a secret that both have, 32 byte";
  testing::StoreSecret(hsm_.Uri("card"), "aabb", secret);
  const std::string good = HmacSha256(secret, Sha256("message"));
  const std::unique_ptr<Pkcs11Verifier> card = Open(hsm_.PinFile());
  EXPECT_OK(card->Verify("aabb", "message", good));
  EXPECT_THAT(card->Verify("aabb", "massage", good), kBad());
  EXPECT_THAT(card->Verify("aabb", "message", HmacSha256(secret, "message")), kBad());
  EXPECT_THAT(card->Verify("aabb", "message", good.substr(0, 16)), kBad());
  EXPECT_THAT(card->Verify("aabb", "message", HmacSha256("another secret", Sha256("message"))), kBad());
}

TEST_F(Pkcs11VerifierTest, ACardThatIsNotThereOrFailsIsNoVerdict) {
  const std::unique_ptr<Pkcs11Verifier> card = Open(hsm_.PinFile());
  hsm_.Remove();
  EXPECT_THAT(card->Verify("0102", "m", "s"), StatusIs(absl::StatusCode::kUnavailable, kVerifierAbsent));
  hsm_.Insert();
  clock_.Advance(absl::Minutes(1));
  EXPECT_THAT(card->Verify("0102", "m", "s"), StatusIs(absl::StatusCode::kNotFound, kVerifierUnknownKey));
  // Pulled out while it is in use.
  hsm_.Remove();
  EXPECT_THAT(card->Verify("0102", "m", "s"), StatusIs(absl::StatusCode::kUnavailable, kVerifierAbsent));
  hsm_.Insert();
  const std::unique_ptr<Pkcs11Verifier> locked = Open(hsm_.FileWith("wrong", "4321"));
  EXPECT_THAT(locked->Verify("0102", "m", "s"), StatusIs(absl::StatusCode::kFailedPrecondition, kPinWrong));
}

TEST_F(Pkcs11VerifierTest, ACardIsNamedWithoutAKey) {
  EXPECT_THAT(Pkcs11Verifier::Open(hsm_.Uri("card", "k")),
              StatusIs(absl::StatusCode::kInvalidArgument, kUriInvalid));
  EXPECT_THAT(Pkcs11Verifier::Open("card"), StatusIs(absl::StatusCode::kInvalidArgument, kUriInvalid));
}

}  // namespace
}  // namespace countersign::crypto::pkcs11
