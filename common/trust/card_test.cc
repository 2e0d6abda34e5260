// SC-GEN-11: a device checks the approval with the cryptographic mechanism kept in its smart card. SoftHSM is
// the card.

#include "common/crypto/pkcs11/testing/card.h"

#include <memory>
#include <string>

#include "common/crypto/digest.h"
#include "common/crypto/pkcs11/testing/soft_hsm.h"
#include "common/crypto/pkcs11/verifier.h"
#include "common/testing/fake_clock.h"
#include "common/testing/status_matchers.h"
#include "common/trust/dsse.h"
#include "common/trust/keys.h"
#include "common/trust/test_repository.h"
#include "gtest/gtest.h"

namespace countersign::trust {
namespace {

using crypto::pkcs11::Pkcs11Verifier;
using crypto::pkcs11::testing::SoftHsm;

const char kSecret[] = "what card and authority share...";
const std::string& SecretId() {
  static const auto& id = *new std::string(crypto::Sha256Hex("secret of card 4711"));
  return id;
}

class CardTest : public ::testing::Test {
 protected:
  CardTest() : authority_(NewSigner()) {
    hsm_.AddToken("card");
    const std::string uri = hsm_.Uri("card");
    crypto::pkcs11::testing::StorePublicKey(uri, KeyId(authority_.public_key()), authority_.public_key());
    crypto::pkcs11::testing::StoreSecret(uri, SecretId(), kSecret);
    card_ = Pkcs11Verifier::Open(uri, clock_).value();
    statement_.sha256 = std::string(64, 'a');
    statement_.target_path = "acme/lamp/fw.bin";
    statement_.role_version = 3;
    statement_.hardware_ids = {"lamp-a"};
    statement_.release_counter = 2;
    statement_.valid_from = clock_.Now();
    statement_.valid_until = clock_.Now() + absl::Hours(24);
    subject_ = {statement_.sha256, statement_.target_path, "lamp-a", 2};
  }

  std::string Signed(const crypto::Signer& signer) const {
    DsseEnvelope envelope = statement_.ToEnvelope();
    EXPECT_OK(envelope.Sign(signer));
    return envelope.Serialise();
  }
  std::string Authenticated(const std::string& secret) const {
    DsseEnvelope envelope = statement_.ToEnvelope();
    const std::string bytes = DssePreAuthEncoding(envelope.payload_type, envelope.payload);
    envelope.signatures.push_back({SecretId(), crypto::HmacSha256(secret, crypto::Sha256(bytes))});
    return envelope.Serialise();
  }
  absl::string_view Check(const std::string& statement) const {
    return ApprovalResultName(CheckApproval(statement, *card_, subject_, clock_.Now()));
  }

  SoftHsm hsm_;
  FakeClock clock_;
  crypto::PemSigner authority_;
  std::unique_ptr<Pkcs11Verifier> card_;
  ApprovalStatement statement_;
  ApprovalSubject subject_;
};

TEST_F(CardTest, TheCardApprovesByTheAuthoritysKey) { EXPECT_EQ(Check(Signed(authority_)), "APPROVED"); }

TEST_F(CardTest, TheCardApprovesByTheSharedSecret) { EXPECT_EQ(Check(Authenticated(kSecret)), "APPROVED"); }

TEST_F(CardTest, EachFailureHasItsResultByKeyAndBySecret) {
  for (const std::string& good : {Signed(authority_), Authenticated(kSecret)}) {
    const ApprovalSubject subject = subject_;
    subject_.sha256 = std::string(64, 'b');
    EXPECT_EQ(Check(good), "DIGEST_MISMATCH");
    subject_ = subject;
    subject_.hardware_id = "plug";
    EXPECT_EQ(Check(good), "WRONG_TARGET");
    subject_ = subject;
    EXPECT_EQ(ApprovalResultName(CheckApproval(good, *card_, subject_, clock_.Now() + absl::Hours(24))),
              "EXPIRED");

    // Somebody else's words under the authority's signature.
    const DsseEnvelope genuine = DsseEnvelope::Parse(good).value();
    const ApprovalStatement statement = statement_;
    statement_.sha256 = subject_.sha256 = std::string(64, 'c');
    DsseEnvelope forged = statement_.ToEnvelope();
    forged.signatures = genuine.signatures;
    EXPECT_EQ(Check(forged.Serialise()), "BAD_SIGNATURE");
    subject_ = subject;
    statement_ = statement;
  }
  EXPECT_EQ(Check(""), "NO_STATEMENT");
  EXPECT_EQ(Check(statement_.ToEnvelope().Serialise()), "NO_STATEMENT");
  EXPECT_EQ(Check("nonsense"), "BAD_SIGNATURE");
  EXPECT_EQ(Check(Authenticated("another secret")), "BAD_SIGNATURE");
  EXPECT_EQ(Check(Signed(NewSigner())), "UNKNOWN_KEY");
}

TEST_F(CardTest, ACardThatIsAbsentOrCannotIsToldApartFromABadSignature) {
  const std::string good = Signed(authority_);
  hsm_.Remove();
  EXPECT_EQ(Check(good), "CARD_ABSENT");
  EXPECT_EQ(Check(""), "NO_STATEMENT");
  hsm_.Insert();
  clock_.Advance(absl::Minutes(1));
  EXPECT_EQ(Check(good), "APPROVED");
  // The same card behind a PIN that is not its own.
  card_.reset();
  const std::string uri = hsm_.Uri("card", "", SoftHsm::Module(), hsm_.FileWith("wrong", "4321"));
  card_ = Pkcs11Verifier::Open(uri, clock_).value();
  EXPECT_EQ(Check(good), "CARD_ERROR");
}

TEST_F(CardTest, OneGoodSignatureIsEnough) {
  DsseEnvelope envelope = DsseEnvelope::Parse(Signed(NewSigner())).value();
  const DsseEnvelope good = DsseEnvelope::Parse(Signed(authority_)).value();
  envelope.signatures.push_back(good.signatures.front());
  EXPECT_EQ(Check(envelope.Serialise()), "APPROVED");
}

}  // namespace
}  // namespace countersign::trust
