#include "services/consent/domain/recorder.h"

#include "common/crypto/digest.h"
#include "common/testing/status_matchers.h"
#include "common/trust/consent_record.h"
#include "gtest/gtest.h"

namespace countersign::consent {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

class RecorderTest : public ::testing::Test {
 protected:
  RecorderTest() {
    question_.gateway = "gw-1";
    question_.ecu_serial = "ecu-1";
    question_.target_path = "acme/lamp/lamp-2.bin";
    question_.image_sha256 = crypto::Sha256Hex("image");
    question_.from_version = "1.0.0";
    question_.to_version = "2.0.0";
    question_.kind = UpdateKind::kSecurity;
    question_.criticality = Criticality::kHigh;
    question_.terms_sha256 = crypto::Sha256Hex("terms");
    decision_.decision = QuestionState::kGranted;
    decision_.principal_id = "user-1";
    decision_.text_sha256 = crypto::Sha256Hex("text");
    decision_.decided_at = kNow;
    decision_.valid_until = kNow + absl::Hours(1);
  }

  std::shared_ptr<const crypto::PemSigner> key_ =
      std::make_shared<const crypto::PemSigner>(*crypto::PemSigner::Generate(crypto::KeyType::kEd25519));
  Recorder recorder_{key_};
  Question question_;
  DecisionMade decision_;
};

// PLUS-2
TEST_F(RecorderTest, AGrantIsProofForThisUpdateOnThisComponentWhileItHolds) {
  ASSERT_OK(recorder_.Sign("record-1", question_, decision_));
  ASSERT_OK_AND_ASSIGN(const trust::Envelope envelope, trust::Envelope::Parse(decision_.signed_record));
  trust::ConsentQuestion asked{"gw-1", "ecu-1", "acme/lamp/lamp-2.bin", question_.image_sha256, "SECURITY"};
  ASSERT_OK_AND_ASSIGN(const trust::ConsentRecord record,
                       trust::VerifyConsent(envelope, key_->public_key(), asked, kNow));
  EXPECT_EQ(record.record_id, "record-1");
  EXPECT_EQ(record.principal_id, "user-1");
  EXPECT_EQ(record.criticality, "HIGH");
  EXPECT_EQ(record.terms_sha256, question_.terms_sha256);
  EXPECT_EQ(record.text_sha256, decision_.text_sha256);
  EXPECT_EQ(record.to_version, "2.0.0");

  EXPECT_THAT(trust::VerifyConsent(envelope, key_->public_key(), asked, kNow + absl::Hours(1)),
              StatusIs(testing::_, "CONSENT_EXPIRED"));
  asked.ecu_serial = "ecu-2";
  EXPECT_THAT(trust::VerifyConsent(envelope, key_->public_key(), asked, kNow),
              StatusIs(testing::_, "CONSENT_MISMATCH"));
}

TEST_F(RecorderTest, WhatIsNoGrantIsNoConsent) {
  const trust::ConsentQuestion asked{"gw-1", "ecu-1", "acme/lamp/lamp-2.bin", question_.image_sha256,
                                     "SECURITY"};
  for (const QuestionState state : {QuestionState::kDenied, QuestionState::kDeferred,
                                    QuestionState::kWithdrawn, QuestionState::kExpired}) {
    decision_.decision = state;
    ASSERT_OK(recorder_.Sign("record-1", question_, decision_));
    ASSERT_OK_AND_ASSIGN(const trust::Envelope envelope, trust::Envelope::Parse(decision_.signed_record));
    EXPECT_THAT(trust::VerifyConsent(envelope, key_->public_key(), asked, kNow),
                StatusIs(testing::_, "NO_CONSENT"));
  }
}

TEST_F(RecorderTest, AQuestionWithoutAnAnswerHasNoRecord) {
  decision_.decision = QuestionState::kWaiting;
  EXPECT_FALSE(recorder_.Sign("record-1", question_, decision_).ok());
}

}  // namespace
}  // namespace countersign::consent
