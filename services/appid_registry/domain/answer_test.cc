#include "services/appid_registry/domain/answer.h"

#include <string>
#include <vector>

#include "common/testing/status_matchers.h"
#include "common/trust/envelope.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace countersign::appid_registry::domain {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const std::string kRoot(64, 'a');
const std::string kOtherRoot(64, 'b');

Profile GoodProfile() {
  Profile profile;
  profile.app_id = "Ra01.com.acme.thermostat";
  profile.root_of_trust_sha256 = kRoot;
  return profile;
}

std::vector<std::string> ReasonsOf(const Assessment& assessment) {
  std::vector<std::string> reasons;
  for (const Finding& finding : assessment.findings) reasons.push_back(finding.reason);
  return reasons;
}

Assessment AssessmentOf(const std::string& app_id, const std::string& root, const Profile* profile) {
  return Assess(*ParsePresented(app_id, "", root), profile);
}

TEST(AnswerTest, ARegisteredIdentityWithItsRootOfTrustHasNoFinding) {
  const Profile profile = GoodProfile();
  const Assessment assessment = AssessmentOf(profile.app_id, kRoot, &profile);
  EXPECT_EQ(assessment.status, Status::kRegistered);
  EXPECT_THAT(assessment.findings, IsEmpty());
}

TEST(AnswerTest, WhatDoesNotFitIsFound) {
  Profile profile = GoodProfile();
  EXPECT_THAT(ReasonsOf(AssessmentOf(profile.app_id, "", &profile)), ElementsAre("ROOT_OF_TRUST_MISSING"));
  EXPECT_THAT(ReasonsOf(AssessmentOf(profile.app_id, kOtherRoot, &profile)),
              ElementsAre("ROOT_OF_TRUST_DIFFERS"));
  EXPECT_THAT(ReasonsOf(AssessmentOf("ra01.com.acme.thermostat", kRoot, &profile)),
              ElementsAre("LOWER_CASE_PREFIX"));
  profile.root_of_trust_sha256.clear();
  EXPECT_THAT(ReasonsOf(AssessmentOf(profile.app_id, kRoot, &profile)), IsEmpty());
}

TEST(AnswerTest, EveryStateHasItsStatus) {
  Profile profile = GoodProfile();
  profile.state = State::kSuspended;
  Assessment assessment = AssessmentOf(profile.app_id, kRoot, &profile);
  EXPECT_EQ(assessment.status, Status::kSuspended);
  EXPECT_THAT(ReasonsOf(assessment), ElementsAre("SUSPENDED"));
  EXPECT_EQ(assessment.findings[0].severity, Severity::kCritical);
  profile.state = State::kRevoked;
  assessment = AssessmentOf(profile.app_id, kRoot, &profile);
  EXPECT_EQ(assessment.status, Status::kRevoked);
  EXPECT_THAT(ReasonsOf(assessment), ElementsAre("REVOKED"));
}

TEST(AnswerTest, AnUnknownIdentityIsAnAnswer) {
  EXPECT_EQ(AssessmentOf("Ra01.com.acme.other", kRoot, nullptr).status, Status::kNotRegistered);
  EXPECT_THAT(ReasonsOf(AssessmentOf("Ra01.com.acme.other", kRoot, nullptr)), ElementsAre("NOT_REGISTERED"));
  EXPECT_THAT(ReasonsOf(AssessmentOf("Nother", kRoot, nullptr)),
              ElementsAre("NOT_GLOBALLY_UNIQUE", "NOT_REGISTERED"));
}

TEST(AnswerTest, WhatIsPresentedMustBeWellFormed) {
  EXPECT_THAT(ParsePresented("thermostat", "", ""),
              StatusIs(absl::StatusCode::kInvalidArgument, "APP_ID_MALFORMED"));
  EXPECT_THAT(ParsePresented("Nx", "x", ""), StatusIs(absl::StatusCode::kInvalidArgument, "AE_ID_MALFORMED"));
  EXPECT_THAT(ParsePresented("Nx", "Cx", "abc"),
              StatusIs(absl::StatusCode::kInvalidArgument, "ROOT_OF_TRUST_MALFORMED"));
}

// APPID-4
TEST(AnswerTest, TheSignedAnswerHoldsWhatWasAskedAndWhatIsKnown) {
  const crypto::PemSigner signer = *crypto::PemSigner::Generate(crypto::KeyType::kEd25519);
  const Profile profile = GoodProfile();
  const Presented presented = *ParsePresented("ra01.com.acme.thermostat", "/cse-1/C7", kOtherRoot);
  const absl::Time now = absl::FromUnixSeconds(1767225600);
  ASSERT_OK_AND_ASSIGN(const std::string bytes, SignAnswer(presented, &profile, Assess(presented, &profile),
                                                           now, now + absl::Hours(24), signer));
  ASSERT_OK_AND_ASSIGN(const trust::Envelope envelope, trust::Envelope::Parse(bytes));
  EXPECT_OK(envelope.VerifyBy(signer.public_key()));
  EXPECT_EQ(envelope.type(), "app-id-answer");
  const nlohmann::json& content = envelope.content();
  EXPECT_EQ(content["app_id"], "ra01.com.acme.thermostat");
  EXPECT_EQ(content["ae_id"], "/cse-1/C7");
  EXPECT_EQ(content["root_of_trust_sha256"], kOtherRoot);
  EXPECT_EQ(content["status"], "REGISTERED");
  EXPECT_EQ(content["profile_sha256"], ProfileDigest(profile));
  EXPECT_EQ(content["answer_time"], "2026-01-01T00:00:00Z");
  EXPECT_EQ(content["expires"], "2026-01-02T00:00:00Z");
  ASSERT_EQ(content["findings"].size(), 2u);
  EXPECT_EQ(content["findings"][1]["reason"], "ROOT_OF_TRUST_DIFFERS");
  EXPECT_EQ(content["findings"][1]["severity"], "CRITICAL");

  nlohmann::json altered = envelope.ToJson();
  altered["signed"]["status"] = "NOT_REGISTERED";
  EXPECT_THAT(trust::Envelope::FromJson(altered)->VerifyBy(signer.public_key()),
              StatusIs(absl::StatusCode::kInvalidArgument, "SIGNATURE_INVALID"));
}

TEST(AnswerTest, TheSignedAnswerOfAnUnknownIdentityVouchesForNoProfile) {
  const crypto::PemSigner signer = *crypto::PemSigner::Generate(crypto::KeyType::kEcdsaP256);
  const Presented presented = *ParsePresented("Nx", "", "");
  const absl::Time now = absl::FromUnixSeconds(1767225600);
  ASSERT_OK_AND_ASSIGN(const std::string bytes, SignAnswer(presented, nullptr, Assess(presented, nullptr),
                                                           now, now + absl::Hours(24), signer));
  ASSERT_OK_AND_ASSIGN(const trust::Envelope envelope, trust::Envelope::Parse(bytes));
  EXPECT_EQ(envelope.content()["profile_sha256"], "");
  EXPECT_EQ(envelope.content()["status"], "NOT_REGISTERED");
}

}  // namespace
}  // namespace countersign::appid_registry::domain
