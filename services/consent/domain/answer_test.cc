#include "services/consent/domain/answer.h"

#include "common/testing/status_matchers.h"
#include "gtest/gtest.h"

namespace countersign::consent {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);
constexpr absl::Duration kValidity = absl::Hours(48);

AskedQuestion Asked() {
  AskedQuestion asked;
  asked.question.notices = {{"en", "digest-en"}, {"de", "digest-de"}};
  asked.question.terms_sha256 = "terms";
  asked.latest_deferral = kNow + absl::Hours(4);
  return asked;
}

Answer Of(QuestionEvent event) {
  return {.event = event, .principal_id = "user-1", .language = "de", .text_sha256 = "digest-de"};
}

absl::StatusOr<DecisionMade> Ask(const Answer& answer, const AskedQuestion& asked = Asked()) {
  return Decide(asked, answer, kValidity, kNow);
}

// FOTA-F, PLUS-2
TEST(AnswerTest, AGrantNamesTheTextAndTheTermsAndHoldsForAWhile) {
  Answer answer = Of(QuestionEvent::kUserGrants);
  answer.accepted_terms_sha256 = "terms";
  ASSERT_OK_AND_ASSIGN(const DecisionMade decision, Ask(answer));
  EXPECT_EQ(decision.decision, QuestionState::kGranted);
  EXPECT_EQ(decision.text_sha256, "digest-de");
  EXPECT_EQ(decision.principal_id, "user-1");
  EXPECT_EQ(decision.valid_until, kNow + kValidity);
}

TEST(AnswerTest, WhatWasNotShownCannotBeAnswered) {
  for (const QuestionEvent event :
       {QuestionEvent::kUserGrants, QuestionEvent::kUserDenies, QuestionEvent::kUserDefers}) {
    Answer answer = Of(event);
    answer.text_sha256 = "digest-en";  // of the other language
    EXPECT_THAT(Ask(answer), StatusIs(absl::StatusCode::kInvalidArgument, "TEXT_DIFFERS"));
    answer.language = "fr";
    EXPECT_THAT(Ask(answer), StatusIs(absl::StatusCode::kInvalidArgument, "TEXT_DIFFERS"));
  }
}

TEST(AnswerTest, AGrantWithoutTheTermsIsRefusedAndADenialNeedsNone) {
  Answer answer = Of(QuestionEvent::kUserGrants);
  EXPECT_THAT(Ask(answer), StatusIs(absl::StatusCode::kInvalidArgument, "TERMS_NOT_ACCEPTED"));
  answer.accepted_terms_sha256 = "other terms";
  EXPECT_THAT(Ask(answer), StatusIs(absl::StatusCode::kInvalidArgument, "TERMS_NOT_ACCEPTED"));
  EXPECT_OK(Ask(Of(QuestionEvent::kUserDenies)));
}

TEST(AnswerTest, TermsThatTheReleaseDoesNotHaveCannotBeAccepted) {
  AskedQuestion asked = Asked();
  asked.question.terms_sha256.clear();
  Answer answer = Of(QuestionEvent::kUserGrants);
  EXPECT_OK(Ask(answer, asked));
  answer.accepted_terms_sha256 = "terms";
  EXPECT_THAT(Ask(answer, asked), StatusIs(absl::StatusCode::kInvalidArgument, "TERMS_NOT_ACCEPTED"));
}

TEST(AnswerTest, ADeferralStaysWithinItsLimit) {
  Answer answer = Of(QuestionEvent::kUserDefers);
  EXPECT_THAT(Ask(answer), StatusIs(absl::StatusCode::kInvalidArgument, "DEFERRAL_TOO_LONG"));
  answer.deferred_until = kNow;
  EXPECT_THAT(Ask(answer), StatusIs(absl::StatusCode::kInvalidArgument, "DEFERRAL_TOO_LONG"));
  answer.deferred_until = kNow + absl::Hours(4);
  ASSERT_OK_AND_ASSIGN(const DecisionMade decision, Ask(answer));
  EXPECT_EQ(decision.valid_until, kNow + absl::Hours(4));
  answer.deferred_until = kNow + absl::Hours(4) + absl::Seconds(1);
  EXPECT_THAT(Ask(answer), StatusIs(absl::StatusCode::kInvalidArgument, "DEFERRAL_TOO_LONG"));
  AskedQuestion late = Asked();
  late.latest_deferral = kNow - absl::Hours(1);
  answer.deferred_until = kNow + absl::Minutes(1);
  EXPECT_THAT(Ask(answer, late), StatusIs(absl::StatusCode::kInvalidArgument, "DEFERRAL_TOO_LONG"));
}

TEST(AnswerTest, OnlyAQuestionThatWaitsIsAnswered) {
  AskedQuestion asked = Asked();
  asked.state = QuestionState::kGranted;
  EXPECT_THAT(Ask(Of(QuestionEvent::kUserDenies), asked),
              StatusIs(absl::StatusCode::kFailedPrecondition, "PROMPT_ANSWERED"));
  asked.state = QuestionState::kClosed;
  EXPECT_THAT(Ask(Of(QuestionEvent::kUserDenies), asked),
              StatusIs(absl::StatusCode::kFailedPrecondition, "PROMPT_EXPIRED"));
}

}  // namespace
}  // namespace countersign::consent
