#include "tools/gateway/user.h"

#include <string>

#include "common/testing/status_matchers.h"
#include "common/trust/consent_record.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::gateway {
namespace {

using ::testing::HasSubstr;
namespace v1 = ::countersign::consent::v1;

v1::Prompt MakePrompt() {
  v1::Prompt prompt;
  prompt.set_name("gateways/home-1/prompts/17");
  prompt.mutable_question()->set_ecu_serial("T-1");
  common::v1::ReleaseInfo& release = *prompt.mutable_question()->mutable_release();
  release.set_version("2.0.1");
  release.set_kind(common::v1::UPDATE_KIND_SECURITY);
  release.set_criticality(common::v1::CRITICALITY_HIGH);
  for (const char* language : {"en", "de"}) {
    common::v1::UserNotice& notice = *release.add_notices();
    notice.set_language(language);
    notice.set_purpose(std::string("purpose-") + language);
    notice.set_changes("changes");
    notice.mutable_install_duration()->set_seconds(90);
    notice.set_unavailable_functions("heating");
    notice.set_instructions("leave it on");
  }
  release.mutable_terms()->set_id("tou");
  release.mutable_terms()->set_text_sha256(std::string(64, 'a'));
  return prompt;
}

// HOME-8
TEST(UserTest, AnAnswerQuotesTheNoticeThatWasShown) {
  const auto request = AnswerTo(
      MakePrompt(), {.decision = "accept", .principal_id = "anna", .language = "de", .accept_terms = true});
  ASSERT_OK(request);
  EXPECT_EQ(request->name(), "gateways/home-1/prompts/17");
  EXPECT_EQ(request->decision(), v1::DECISION_GRANTED);
  EXPECT_EQ(request->principal_id(), "anna");
  EXPECT_EQ(request->language(), "de");
  EXPECT_EQ(request->text_sha256(),
            trust::NoticeTextSha256("purpose-de", "changes", 90, "heating", "leave it on"));
  EXPECT_EQ(request->accepted_terms_sha256(), std::string(64, 'a'));
  EXPECT_EQ(request->request_id().size(), 36u);
}

TEST(UserTest, TermsAreAcceptedOnlyWhenTheUserSaysSo) {
  const auto request = AnswerTo(MakePrompt(), {.decision = "accept", .principal_id = "anna"});
  ASSERT_OK(request);
  EXPECT_EQ(request->language(), "en");
  EXPECT_EQ(request->accepted_terms_sha256(), "");
}

TEST(UserTest, WhatIsDeclinedOrPostponedIsSaidSo) {
  EXPECT_EQ(AnswerTo(MakePrompt(), {.decision = "decline", .principal_id = "anna"})->decision(),
            v1::DECISION_DENIED);
  const auto later = AnswerTo(
      MakePrompt(), {.decision = "postpone", .principal_id = "anna", .until = "2026-01-01T01:00:00+01:00"});
  ASSERT_OK(later);
  EXPECT_EQ(later->decision(), v1::DECISION_DEFERRED);
  EXPECT_EQ(later->deferred_until_time().seconds(), 1767225600);
  EXPECT_THAT(AnswerTo(MakePrompt(), {.decision = "postpone", .principal_id = "anna", .until = "tomorrow"}),
              StatusIs(absl::StatusCode::kInvalidArgument, "TIME_INVALID"));
}

TEST(UserTest, NobodyAnswersANoticeThatIsNotThere) {
  EXPECT_THAT(AnswerTo(MakePrompt(), {.decision = "accept", .principal_id = "anna", .language = "fr"}),
              StatusIs(absl::StatusCode::kInvalidArgument, "LANGUAGE_UNKNOWN"));
}

// UN R156, 7.2.2.2
TEST(UserTest, APromptTellsAllThatAUserMustBeTold) {
  const std::string text = PromptText(MakePrompt(), "de");
  for (const char* part : {"T-1", "2.0.1", "security", "high", "purpose-de", "changes", "1m30s", "heating",
                           "leave it on", "tou", "--accept-terms"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
}

TEST(UserTest, APolicySaysWhatItGrants) {
  v1::Policy policy;
  policy.add_kinds(common::v1::UPDATE_KIND_SECURITY);
  policy.set_minimum_criticality(common::v1::CRITICALITY_LOW);
  EXPECT_EQ(
      PolicyText(policy),
      "Updates of kind security that are at least of criticality low may be installed on everything at this "
      "gateway without asking again, until this policy is withdrawn.");
}

}  // namespace
}  // namespace countersign::gateway
