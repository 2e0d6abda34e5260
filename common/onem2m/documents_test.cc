#include <set>
#include <string>

#include "common/crypto/signer.h"
#include "common/onem2m/answer.h"
#include "common/onem2m/terms.h"
#include "common/testing/status_matchers.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace countersign::onem2m {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1767268800);

const crypto::PemSigner& Registry() {
  static const auto& signer = *new crypto::PemSigner(*crypto::PemSigner::Generate(crypto::KeyType::kEd25519));
  return signer;
}

Question AQuestion() {
  Question question;
  question.app_id = "Ra01.com.acme.thermostat";
  question.ae_id = "/cse-1/C190";
  question.certificates_sha256 = {std::string(64, 'a'), std::string(64, 'b')};
  return question;
}

Answer AnAnswer() {
  Answer answer;
  answer.app_id = AQuestion().app_id;
  answer.ae_id = AQuestion().ae_id;
  answer.question_sha256 = QuestionDigest(AQuestion());
  answer.status = "REGISTERED";
  answer.profile = std::string("\x0a\x00\xff W\xc3\xa4rme", 10);
  answer.profile_sha256 = std::string(64, 'c');
  answer.findings = {{"WARNING", "LOWER_CASE_PREFIX", "The prefix r is forbidden."}};
  answer.answer_time = kNow;
  answer.expire_time = kNow + absl::Hours(1);
  return answer;
}

TEST(AnswerDocumentTest, WhatWasSignedIsRead) {
  ASSERT_OK_AND_ASSIGN(const std::string document, SignAnswer(AnAnswer(), Registry()));
  ASSERT_OK_AND_ASSIGN(const Answer read,
                       VerifyAnswer(document, Registry().public_key(), QuestionDigest(AQuestion()), kNow));
  EXPECT_EQ(read.app_id, AnAnswer().app_id);
  EXPECT_EQ(read.ae_id, AnAnswer().ae_id);
  EXPECT_EQ(read.status, "REGISTERED");
  EXPECT_EQ(read.profile, AnAnswer().profile);
  EXPECT_EQ(read.profile_sha256, AnAnswer().profile_sha256);
  ASSERT_EQ(read.findings.size(), 1u);
  EXPECT_EQ(read.findings[0].reason, "LOWER_CASE_PREFIX");
  EXPECT_EQ(read.expire_time, kNow + absl::Hours(1));
}

TEST(AnswerDocumentTest, AnAnswerHoldsForItsQuestionAndItsTimeOnly) {
  ASSERT_OK_AND_ASSIGN(const std::string document, SignAnswer(AnAnswer(), Registry()));
  const crypto::PublicKey& key = Registry().public_key();
  const std::string digest = QuestionDigest(AQuestion());
  constexpr absl::StatusCode kCode = absl::StatusCode::kFailedPrecondition;
  EXPECT_THAT(VerifyAnswer(document, key, std::string(64, 'd'), kNow), StatusIs(kCode, "ANSWER_OF_ANOTHER"));
  EXPECT_OK(VerifyAnswer(document, key, digest, kNow + absl::Hours(1) - absl::Seconds(1)));
  EXPECT_THAT(VerifyAnswer(document, key, digest, kNow + absl::Hours(1)), StatusIs(kCode, "ANSWER_EXPIRED"));
  EXPECT_OK(VerifyAnswer(document, key, digest, kNow - absl::Minutes(5)));
  EXPECT_THAT(VerifyAnswer(document, key, digest, kNow - absl::Minutes(6)),
              StatusIs(kCode, "ANSWER_EXPIRED"));
}

TEST(AnswerDocumentTest, NoByteOfItCanBeChanged) {
  ASSERT_OK_AND_ASSIGN(const std::string document, SignAnswer(AnAnswer(), Registry()));
  const std::string digest = QuestionDigest(AQuestion());
  for (size_t i = 0; i < document.size(); ++i) {
    std::string changed = document;
    changed[i] = changed[i] == '1' ? '2' : '1';
    EXPECT_FALSE(VerifyAnswer(changed, Registry().public_key(), digest, kNow).ok()) << i;
  }
  const crypto::PemSigner other = *crypto::PemSigner::Generate(crypto::KeyType::kEd25519);
  EXPECT_THAT(VerifyAnswer(document, other.public_key(), digest, kNow),
              StatusIs(absl::StatusCode::kInvalidArgument, "UNKNOWN_KEY"));
}

TEST(AnswerDocumentTest, AnotherDocumentOfTheSameSignerIsNoAnswer) {
  trust::Envelope envelope =
      Terms{"Ra01.com.acme.x", "acme", "t", "1", std::string(64, 'a'), kNow}.ToEnvelope();
  ASSERT_OK(envelope.Sign(Registry()));
  EXPECT_THAT(VerifyAnswer(envelope.Serialise(), Registry().public_key(), QuestionDigest(AQuestion()), kNow),
              StatusIs(absl::StatusCode::kInvalidArgument, "MALFORMED_METADATA"));
}

TEST(QuestionTest, ItsDigestChangesWithEveryPart) {
  std::set<std::string> digests = {QuestionDigest(AQuestion())};
  const auto changed = [&](auto change) {
    Question question = AQuestion();
    change(question);
    return digests.insert(QuestionDigest(question)).second;
  };
  EXPECT_TRUE(changed([](Question& q) { q.app_id += "2"; }));
  EXPECT_TRUE(changed([](Question& q) { q.ae_id.clear(); }));
  EXPECT_TRUE(changed([](Question& q) { q.root_of_trust_sha256.assign(64, 'a'); }));
  EXPECT_TRUE(changed([](Question& q) { q.certificates_sha256.pop_back(); }));
  EXPECT_TRUE(changed([](Question& q) { q.public_key_sha256.assign(64, 'a'); }));
  EXPECT_TRUE(changed([](Question& q) { q.pre_shared_key = true; }));
  EXPECT_TRUE(changed([](Question& q) { q.application_class = 1; }));
  EXPECT_TRUE(changed([](Question& q) { q.communications_class = 1; }));
  EXPECT_TRUE(changed([](Question& q) { q.data_model = "SDT"; }));
  EXPECT_TRUE(changed([](Question& q) { q.credential_protection = 1; }));
  EXPECT_TRUE(changed([](Question& q) { q.credential_protection_attested = true; }));
}

TEST(TermsTest, WhatIsWrittenIsRead) {
  const Terms terms{"Ra01.com.acme.x", "acme", "terms", "2026-1", std::string(64, 'a'), kNow};
  ASSERT_OK_AND_ASSIGN(const Terms read, Terms::Parse(terms.ToEnvelope()));
  EXPECT_EQ(read.app_id, terms.app_id);
  EXPECT_EQ(read.registrant, terms.registrant);
  EXPECT_EQ(read.terms_id, terms.terms_id);
  EXPECT_EQ(read.terms_version, terms.terms_version);
  EXPECT_EQ(read.terms_sha256, terms.terms_sha256);
  EXPECT_EQ(read.signed_at, terms.signed_at);
  EXPECT_THAT(Terms::Parse(trust::Envelope::Unsigned({{"_type", "app-id-terms"}})),
              StatusIs(absl::StatusCode::kInvalidArgument, "MALFORMED_METADATA"));
}

}  // namespace
}  // namespace countersign::onem2m
