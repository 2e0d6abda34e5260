#include "common/trust/consent_record.h"

#include <string>

#include "common/testing/status_matchers.h"
#include "common/trust/reasons.h"
#include "common/trust/test_repository.h"
#include "gtest/gtest.h"

namespace countersign::trust {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1767225600);

// PLUS-2
class ConsentRecordTest : public ::testing::Test {
 protected:
  ConsentRecordTest() : service_(NewSigner()) {
    record_.record_id = "c-1";
    record_.principal_id = "user-1";
    record_.gateway_id = "gw-1";
    record_.ecu_serial = "ecu-1";
    record_.scope = ConsentRecord::Scope::kOneUpdate;
    record_.decision = ConsentRecord::Decision::kGranted;
    record_.kind = "SECURITY";
    record_.image_sha256 = std::string(64, 'a');
    record_.target_path = "acme/lamp/fw.bin";
    record_.from_version = "1";
    record_.to_version = "2";
    record_.criticality = "HIGH";
    record_.terms_sha256 = std::string(64, 'b');
    record_.text_sha256 = std::string(64, 'c');
    record_.valid_from = kNow;
    record_.valid_until = kNow + absl::Hours(1);
    question_ = {"gw-1", "ecu-1", "acme/lamp/fw.bin", std::string(64, 'a'), "SECURITY"};
  }
  absl::StatusOr<ConsentRecord> Verify(absl::Time now = kNow) {
    Envelope envelope = record_.ToEnvelope();
    if (absl::Status status = envelope.Sign(service_); !status.ok()) return status;
    absl::StatusOr<Envelope> read = Envelope::Parse(envelope.Serialise());
    if (!read.ok()) return read.status();
    return VerifyConsent(*read, service_.public_key(), question_, now);
  }

  crypto::PemSigner service_;
  ConsentRecord record_;
  ConsentQuestion question_;
};

const auto kMismatch = StatusIs(absl::StatusCode::kFailedPrecondition, kConsentMismatch);

TEST_F(ConsentRecordTest, AGrantCoversExactlyItsUpdate) {
  ASSERT_OK_AND_ASSIGN(const ConsentRecord read, Verify());
  EXPECT_EQ(read.ToEnvelope().canonical(), record_.ToEnvelope().canonical());
  const ConsentQuestion good = question_;
  question_.ecu_serial = "ecu-2";
  EXPECT_THAT(Verify(), kMismatch);
  question_ = good;
  question_.gateway_id = "gw-2";
  EXPECT_THAT(Verify(), kMismatch);
  question_ = good;
  question_.image_sha256 = std::string(64, 'd');
  EXPECT_THAT(Verify(), kMismatch);
  question_ = good;
  question_.target_path = "acme/lamp/other.bin";
  EXPECT_THAT(Verify(), kMismatch);
}

TEST_F(ConsentRecordTest, AGrantForADeviceCoversItsLaterUpdatesOfThatKind) {
  record_.scope = ConsentRecord::Scope::kDevice;
  question_.image_sha256 = std::string(64, 'd');
  EXPECT_OK(Verify());
  question_.kind = "FUNCTIONALITY";
  EXPECT_THAT(Verify(), kMismatch);
  question_.kind = "SECURITY";
  question_.ecu_serial = "ecu-2";
  EXPECT_THAT(Verify(), kMismatch);
}

TEST_F(ConsentRecordTest, AGrantForAKindCoversTheWholeHome) {
  record_.scope = ConsentRecord::Scope::kKind;
  record_.ecu_serial.clear();
  record_.image_sha256.clear();
  record_.target_path.clear();
  question_.ecu_serial = "ecu-2";
  EXPECT_OK(Verify());
  question_.kind = "MIXED";
  EXPECT_THAT(Verify(), kMismatch);
  question_.kind = "SECURITY";
  question_.gateway_id = "gw-2";
  EXPECT_THAT(Verify(), kMismatch);
}

TEST_F(ConsentRecordTest, OnlyAGrantIsConsent) {
  using Decision = ConsentRecord::Decision;
  for (const Decision decision :
       {Decision::kDenied, Decision::kDeferred, Decision::kWithdrawn, Decision::kExpired}) {
    record_.decision = decision;
    EXPECT_THAT(Verify(), StatusIs(absl::StatusCode::kFailedPrecondition, kNoConsent))
        << DecisionName(decision);
  }
}

TEST_F(ConsentRecordTest, AGrantHoldsForItsTime) {
  const auto expired = StatusIs(absl::StatusCode::kFailedPrecondition, kConsentExpired);
  EXPECT_THAT(Verify(kNow - absl::Seconds(1)), expired);
  EXPECT_OK(Verify(kNow + absl::Minutes(59)));
  EXPECT_THAT(Verify(kNow + absl::Hours(1)), expired);
}

// Attack: consent bypass.
TEST_F(ConsentRecordTest, ARecordThatTheConsentServiceDidNotSignIsRefused) {
  record_.decision = ConsentRecord::Decision::kDenied;
  Envelope genuine = record_.ToEnvelope();
  ASSERT_OK(genuine.Sign(service_));
  record_.decision = ConsentRecord::Decision::kGranted;
  Envelope forged = record_.ToEnvelope();
  forged.AddSignature(genuine.signatures()[0]);
  EXPECT_THAT(VerifyConsent(forged, service_.public_key(), question_, kNow),
              StatusIs(absl::StatusCode::kInvalidArgument, kSignatureInvalid));
  EXPECT_THAT(VerifyConsent(record_.ToEnvelope(), service_.public_key(), question_, kNow),
              StatusIs(absl::StatusCode::kInvalidArgument, kUnknownKey));
}

TEST_F(ConsentRecordTest, ARecordMustNameWhatItIsAbout) {
  const auto refused = StatusIs(absl::StatusCode::kInvalidArgument, kMalformed);
  record_.image_sha256.clear();
  EXPECT_THAT(Verify(), refused);
  record_.image_sha256 = "xyz";
  EXPECT_THAT(Verify(), refused);
  record_.scope = ConsentRecord::Scope::kDevice;
  record_.image_sha256.clear();
  record_.ecu_serial.clear();
  EXPECT_THAT(Verify(), refused);
}

TEST(ConsentNamesTest, NamesSurviveTheRoundTrip) {
  for (const char* name : {"ONE_UPDATE", "DEVICE", "KIND"}) {
    ASSERT_OK_AND_ASSIGN(const ConsentRecord::Scope scope, ParseScope(name));
    EXPECT_EQ(ScopeName(scope), name);
  }
  for (const char* name : {"GRANTED", "DENIED", "DEFERRED", "WITHDRAWN", "EXPIRED"}) {
    ASSERT_OK_AND_ASSIGN(const ConsentRecord::Decision decision, ParseDecision(name));
    EXPECT_EQ(DecisionName(decision), name);
  }
  EXPECT_FALSE(ParseScope("ALL").ok());
  EXPECT_FALSE(ParseDecision("granted").ok());
}

}  // namespace
}  // namespace countersign::trust
