// The words, the view model and the markup: plain values.
#include <regex>
#include <set>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/crypto/digest.h"
#include "common/testing/status_matchers.h"
#include "common/trust/consent_record.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tools/gateway/terminal.h"
#include "tools/gateway/web/home.h"
#include "tools/gateway/web/pages.h"
#include "tools/gateway/web/speech.h"
#include "tools/gateway/web/words.h"

namespace countersign::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
namespace consent = ::countersign::consent::v1;

const absl::Time kNow = absl::FromUnixSeconds(1795276800);  // 2026-11-21T16:00:00Z

Speaker In(const std::string& language) {
  return {.words = Words::In(language), .now = kNow, .zone = absl::UTCTimeZone()};
}

std::set<std::string> Placeholders(const std::string& text) {
  static const std::regex placeholder(R"(\{[a-z_]+\})");
  return {std::sregex_token_iterator(text.begin(), text.end(), placeholder), std::sregex_token_iterator()};
}

TEST(WordsTest, EveryLanguageHasTheSameWordsWithTheSamePlaces) {
  const Words& first = Words::In("en");
  for (const std::string& language : Languages()) {
    const Words& words = Words::In(language);
    EXPECT_EQ(words.language(), language);
    for (const auto& [key, text] : first.table()) {
      ASSERT_TRUE(words.Has(key)) << key << " in " << language;
      EXPECT_EQ(Placeholders(words.table().at(key)), Placeholders(text)) << key << " in " << language;
    }
    EXPECT_EQ(words.table().size(), first.table().size()) << language;
  }
}

template <typename Parse>
void ExpectWords(const google::protobuf::EnumDescriptor* values, Parse say) {
  for (int i = 0; i < values->value_count(); ++i) {
    for (const std::string& language : Languages()) {
      const std::string said = say(Words::In(language), values->value(i)->number());
      EXPECT_THAT(said, Not(HasSubstr("[["))) << values->value(i)->name() << " in " << language;
      EXPECT_NE(said, "") << values->value(i)->name();
    }
  }
}

// FOTA-P1, and what a user is told afterwards.
TEST(WordsTest, EveryPhaseReasonKindAndCriticalityHasWords) {
  ExpectWords(common::v1::UpdatePhase_descriptor(), [](const Words& words, int value) {
    return words.Phase(static_cast<common::v1::UpdatePhase>(value));
  });
  ExpectWords(common::v1::FailureReason_descriptor(), [](const Words& words, int value) {
    return words.Reason(static_cast<common::v1::FailureReason>(value));
  });
  ExpectWords(common::v1::UpdateKind_descriptor(), [](const Words& words, int value) {
    return words.Kind(static_cast<common::v1::UpdateKind>(value));
  });
  ExpectWords(common::v1::Criticality_descriptor(), [](const Words& words, int value) {
    return words.Criticality(static_cast<common::v1::Criticality>(value));
  });
  for (const char* result : {"NO_STATEMENT", "BAD_SIGNATURE", "DIGEST_MISMATCH", "WRONG_TARGET", "EXPIRED",
                             "UNKNOWN_KEY", "CARD_ABSENT", "CARD_ERROR"}) {
    EXPECT_NE(ApprovalText(result, In("de")), Words::In("de").Say("approval.other")) << result;
  }
}

TEST(WordsTest, TheBrowsersBestLanguageIsTaken) {
  for (const auto& [header, language] : std::initializer_list<std::pair<const char*, const char*>>{
           {"", "en"},
           {"de", "de"},
           {"de-AT,de;q=0.9,en;q=0.8", "de"},
           {"fr, de;q=0.3, en;q=0.7", "en"},
           {"en;q=0.1, DE;q=0.2", "de"},
           {"de;q=0, en;q=0.1", "en"},
           {"de;q=x", "en"},
           {"de;q=nan,;;;,", "en"},
       }) {
    EXPECT_EQ(ChooseLanguage(header), language) << header;
  }
}

TEST(WordsTest, WhatIsPutIntoASentenceIsNotASentenceItself) {
  const Words& words = Words::In("en");
  EXPECT_EQ(words.Say("versions", {{"from", "{to}"}, {"to", "2"}}), "{to} → 2");
}

TEST(WordsTest, ForeignTextLosesWhatADisplayWouldObey) {
  EXPECT_EQ(CleanText("a\x1b[2Jb\rc\nd\te\x7f"), "a[2Jbc\nde");
  EXPECT_EQ(CleanText("a\u202eb\u2066c\u200fd\u2028e\u0085f"), "abcdef");
  EXPECT_EQ(CleanText("größer → ™ 𝄞"), "größer → ™ 𝄞");
  EXPECT_EQ(CleanText("a\xff\xc3"), "a\ufffd\ufffd");
  EXPECT_EQ(CleanText("\xc0\xafx"), "\ufffd\ufffdx");
}

TEST(WordsTest, TimesAreToldAsPeopleTellThem) {
  const absl::TimeZone utc = absl::UTCTimeZone();
  EXPECT_EQ(Words::In("en").Time(kNow, kNow, utc), "today at 16:00");
  EXPECT_EQ(Words::In("en").Time(kNow + absl::Hours(9), kNow, utc), "tomorrow at 01:00");
  EXPECT_EQ(Words::In("de").Time(kNow - absl::Hours(24 * 200), kNow, utc), "am 5. Mai 2026 um 16:00 Uhr");
  EXPECT_EQ(Words::In("de").Duration(absl::Seconds(60)), "60 Sekunden");
  EXPECT_EQ(Words::In("en").Duration(absl::Minutes(14) + absl::Seconds(1)), "about 15 minutes");
  EXPECT_EQ(Words::In("en").Duration(absl::Hours(24)), "about 24 hours");
}

consent::Prompt MakePrompt() {
  consent::Prompt prompt;
  prompt.set_name("gateways/home-1/prompts/17");
  prompt.set_state(consent::Prompt::STATE_WAITING);
  prompt.mutable_latest_deferral_time()->set_seconds(absl::ToUnixSeconds(kNow + absl::Hours(72)));
  prompt.mutable_question()->set_assignment("rollouts/r/assignments/T-1");
  prompt.mutable_question()->set_ecu_serial("T-1");
  prompt.mutable_question()->set_from_version("1.0.0");
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
  release.mutable_advisory()->add_ids("CVE-2026-1");
  release.mutable_advisory()->set_risk("risk");
  release.mutable_terms()->set_id("tou");
  release.mutable_terms()->set_text("the terms");
  release.mutable_terms()->set_text_sha256(std::string(64, 'a'));
  return prompt;
}

rollout::v1::Assignment MakeAssignment(const std::string& ecu_serial, common::v1::UpdatePhase phase) {
  rollout::v1::Assignment assignment;
  assignment.set_name("rollouts/r/assignments/" + ecu_serial);
  assignment.set_ecu_serial(ecu_serial);
  assignment.set_release("manufacturers/acme/releases/1");
  assignment.set_from_version("1.0.0");
  assignment.set_to_version("2.0.1");
  assignment.set_phase(phase);
  return assignment;
}

consent::ConsentRecord MakeRecord(const std::string& ecu_serial, consent::Decision decision) {
  consent::ConsentRecord record;
  record.set_name("gateways/home-1/records/r-" + ecu_serial);
  record.set_assignment("rollouts/r/assignments/" + ecu_serial);
  record.set_decision(decision);
  record.set_principal_id("anna");
  record.mutable_valid_until_time()->set_seconds(absl::ToUnixSeconds(kNow + absl::Hours(1)));
  return record;
}

inventory::v1::Component MakeComponent(const std::string& ecu_serial, inventory::v1::Component::State state) {
  inventory::v1::Component component;
  component.set_ecu_serial(ecu_serial);
  component.set_device("gateways/home-1/devices/thermostat");
  component.set_manufacturer("acme");
  component.set_model("TH-1");
  component.set_state(state);
  component.mutable_installed()->set_version("1.0.0");
  return component;
}

HomeFacts MakeFacts() {
  HomeFacts facts;
  facts.gateway_id = "home-1";
  facts.reachable = true;
  facts.as_of = kNow;
  facts.components = {MakeComponent("T-1", inventory::v1::Component::STATE_VERIFIED)};
  return facts;
}

// UN R156, 7.2.2.2; FOTA-F
TEST(HomeTest, AQuestionTellsAllThatAUserMustBeToldAtThePageAndAtTheTerminal) {
  HomeFacts facts = MakeFacts();
  facts.prompts = {MakePrompt()};
  facts.assignments = {MakeAssignment("T-1", common::v1::UPDATE_PHASE_AWAITING_CONSENT)};
  const Home home = MakeHome(facts, "de");
  ASSERT_THAT(home.questions, SizeIs(1));
  EXPECT_THAT(home.running, IsEmpty());
  const QuestionView& question = home.questions[0];
  EXPECT_EQ(question.update.notice->text_sha256,
            trust::NoticeTextSha256("purpose-de", "changes", 90, "heating", "leave it on"));
  Visit visit{.speaker = In("de"), .path = "/updates/17", .principal = "anna", .csrf = "c"};
  for (const std::string& text : {QuestionText(question, In("de")), QuestionPage(home, question, visit)}) {
    for (const char* part : {"thermostat", "acme TH-1", "1.0.0 → 2.0.1", "Sicherheit", "hoch", "purpose-de",
                             "changes", "etwa 2 Minuten", "heating", "leave it on", "CVE-2026-1", "risk",
                             "tou", "the terms", "aaaaaaaa", "am 24. November 2026"}) {
      EXPECT_THAT(text, HasSubstr(part));
    }
  }
  // In the first language that there is, when there is none in the user's.
  EXPECT_EQ(MakeHome(facts, "fr").questions[0].update.notice->language, "en");
}

TEST(HomeTest, WhatIsDecidedIsPostponedOrUnderWayOrAtItsEnd) {
  HomeFacts facts = MakeFacts();
  facts.assignments = {MakeAssignment("A", common::v1::UPDATE_PHASE_AWAITING_CONSENT),
                       MakeAssignment("B", common::v1::UPDATE_PHASE_DOWNLOADED),
                       MakeAssignment("C", common::v1::UPDATE_PHASE_UPDATING),
                       MakeAssignment("D", common::v1::UPDATE_PHASE_SUCCEEDED),
                       MakeAssignment("E", common::v1::UPDATE_PHASE_ROLLED_BACK)};
  facts.assignments[3].mutable_update_time()->set_seconds(10);
  facts.assignments[4].mutable_update_time()->set_seconds(20);
  facts.assignments[4].set_failure_reason(common::v1::FAILURE_REASON_UPDATE_FAILED);
  facts.records = {MakeRecord("A", consent::DECISION_DEFERRED), MakeRecord("B", consent::DECISION_GRANTED),
                   MakeRecord("C", consent::DECISION_GRANTED), MakeRecord("D", consent::DECISION_GRANTED)};
  const Home home = MakeHome(facts, "en");
  ASSERT_THAT(home.postponed, SizeIs(1));
  EXPECT_EQ(home.postponed[0].until, kNow + absl::Hours(1));
  ASSERT_THAT(home.running, SizeIs(2));
  // PLUS-2: until the installation starts, and not longer.
  EXPECT_EQ(home.running[0].record_id, "r-B");
  EXPECT_EQ(home.running[1].record_id, "");
  EXPECT_EQ(home.FindRunning("r-B"), &home.running[0]);
  EXPECT_EQ(home.FindRunning(""), nullptr);
  ASSERT_THAT(home.outcomes, SizeIs(2));
  EXPECT_EQ(OutcomeText(home.outcomes[0], In("en")),
            "E could not start 2.0.1 and is back on 1.0.0. Writing the image or starting it failed.");
  EXPECT_EQ(OutcomeText(home.outcomes[1], In("en")), "D was updated from 1.0.0 to 2.0.1.");
  EXPECT_EQ(DecidedBy(home.outcomes[1], In("en")), "anna said yes");
}

TEST(HomeTest, TheGatewayKnowsHowFarItIsBeforeTheServerDoesAndNotHowItEnded) {
  HomeFacts facts = MakeFacts();
  facts.assignments = {MakeAssignment("A", common::v1::UPDATE_PHASE_DOWNLOADED)};
  facts.assignments[0].mutable_image()->set_sha256("s");
  facts.records = {MakeRecord("A", consent::DECISION_GRANTED)};
  facts.progress = {{.ecu_serial = "A", .sha256 = "other", .phase = common::v1::UPDATE_PHASE_VERIFYING}};
  EXPECT_EQ(MakeHome(facts, "en").running[0].phase, common::v1::UPDATE_PHASE_DOWNLOADED);
  facts.progress = {{.ecu_serial = "A", .sha256 = "s", .phase = common::v1::UPDATE_PHASE_UPDATING}};
  EXPECT_EQ(MakeHome(facts, "en").running[0].phase, common::v1::UPDATE_PHASE_UPDATING);
  // Nor can it be taken back any more.
  EXPECT_EQ(MakeHome(facts, "en").running[0].record_id, "");
  facts.progress = {{.ecu_serial = "A", .sha256 = "s", .phase = common::v1::UPDATE_PHASE_SUCCEEDED}};
  EXPECT_EQ(MakeHome(facts, "en").running[0].phase, common::v1::UPDATE_PHASE_DOWNLOADED);
}

// FOTA-T2
TEST(HomeTest, NothingNewIsSaidOnlyWhenEverybodyWasAskedAndHadNothing) {
  HomeFacts facts = MakeFacts();
  const auto result = [&] { return CheckResult(MakeHome(facts, "en"), In("en")); };
  EXPECT_EQ(result(), "");
  facts.check = {.state = Check::State::kRunning, .time = kNow};
  EXPECT_THAT(result(), HasSubstr("Asking"));
  facts.check.state = Check::State::kFailed;
  EXPECT_THAT(result(), HasSubstr("is not known"));
  facts.check.state = Check::State::kDone;
  EXPECT_EQ(result(), "Checked today at 16:00: nothing new.");
  EXPECT_THAT(CheckLimits(MakeHome(facts, "en"), In("en")), IsEmpty());

  facts.components.push_back(MakeComponent("X", inventory::v1::Component::STATE_COMPROMISED));
  EXPECT_THAT(CheckLimits(MakeHome(facts, "en"), In("en")),
              ElementsAre("thermostat does not prove what it runs, so nothing can be said about it."));
  EXPECT_THAT(AskedAbout(facts), SizeIs(1));

  facts.offers.emplace_back().set_ecu_serial("T-1");
  facts.offers[0].mutable_release()->set_name("manufacturers/acme/releases/1");
  facts.offers[0].mutable_release()->mutable_info()->set_version("2.0.1");
  EXPECT_THAT(result(), HasSubstr("Something is announced"));
  EXPECT_THAT(CheckLimits(MakeHome(facts, "en"), In("en"))[0], HasSubstr("acme has announced version 2.0.1"));

  // What is announced and was launched is no news.
  facts.assignments = {MakeAssignment("T-1", common::v1::UPDATE_PHASE_DOWNLOADING)};
  EXPECT_THAT(MakeHome(facts, "en").offers, IsEmpty());
  EXPECT_THAT(result(), HasSubstr("nothing beyond what is listed below"));
  facts.assignments.clear();
  facts.prompts = {MakePrompt()};
  EXPECT_THAT(result(), HasSubstr("1 update to decide on"));
}

// HOME-8
TEST(AnswerTest, AnAnswerQuotesTheNoticeThatWasShown) {
  const auto request = AnswerTo(MakePrompt(), {.decision = "accept",
                                               .principal_id = "anna",
                                               .language = "de",
                                               .accepted_terms_sha256 = std::string(64, 'a')});
  ASSERT_OK(request);
  EXPECT_EQ(request->name(), "gateways/home-1/prompts/17");
  EXPECT_EQ(request->decision(), consent::DECISION_GRANTED);
  EXPECT_EQ(request->principal_id(), "anna");
  EXPECT_EQ(request->language(), "de");
  EXPECT_EQ(request->text_sha256(),
            trust::NoticeTextSha256("purpose-de", "changes", 90, "heating", "leave it on"));
  EXPECT_EQ(request->accepted_terms_sha256(), std::string(64, 'a'));
  EXPECT_EQ(request->request_id().size(), 36u);
}

TEST(AnswerTest, TermsAreAcceptedOnlyWhenTheUserSaysSo) {
  const auto request = AnswerTo(MakePrompt(), {.decision = "accept", .principal_id = "anna"});
  ASSERT_OK(request);
  EXPECT_EQ(request->language(), "en");
  EXPECT_EQ(request->accepted_terms_sha256(), "");
}

TEST(AnswerTest, WhatIsDeclinedOrPostponedIsSaidSo) {
  EXPECT_EQ(AnswerTo(MakePrompt(), {.decision = "decline", .principal_id = "anna"})->decision(),
            consent::DECISION_DENIED);
  const auto later = AnswerTo(
      MakePrompt(), {.decision = "postpone", .principal_id = "anna", .until = "2026-01-01T01:00:00+01:00"});
  ASSERT_OK(later);
  EXPECT_EQ(later->decision(), consent::DECISION_DEFERRED);
  EXPECT_EQ(later->deferred_until_time().seconds(), 1767225600);
  EXPECT_THAT(AnswerTo(MakePrompt(), {.decision = "postpone", .principal_id = "anna", .until = "tomorrow"}),
              StatusIs(absl::StatusCode::kInvalidArgument, "TIME_INVALID"));
  EXPECT_THAT(AnswerTo(MakePrompt(), {.decision = "perhaps"}),
              StatusIs(absl::StatusCode::kInvalidArgument, "DECISION_UNKNOWN"));
}

// PLUS-2
TEST(AnswerTest, NobodyAnswersATextThatWasNotShown) {
  EXPECT_THAT(AnswerTo(MakePrompt(), {.decision = "accept", .principal_id = "anna", .language = "fr"}),
              StatusIs(absl::StatusCode::kInvalidArgument, "LANGUAGE_UNKNOWN"));
  EXPECT_THAT(
      AnswerTo(MakePrompt(),
               {.decision = "accept", .principal_id = "anna", .shown_text_sha256 = std::string(64, 'b')}),
      StatusIs(absl::StatusCode::kFailedPrecondition, "TEXT_DIFFERS"));
}

TEST(PolicyTest, APolicySaysWhatItGrantsInTheLanguageOfItsUser) {
  consent::Policy policy;
  policy.add_kinds(common::v1::UPDATE_KIND_SECURITY);
  policy.set_minimum_criticality(common::v1::CRITICALITY_LOW);
  policy.set_language("en");
  EXPECT_EQ(
      PolicyText(policy),
      "Updates of the kind Security with an urgency of at least low may be installed on everything at this "
      "gateway without asking me again, until I withdraw this.");
  policy.set_language("de");
  policy.clear_minimum_criticality();
  policy.add_kinds(common::v1::UPDATE_KIND_FUNCTIONALITY);
  policy.add_ecu_serials("T-1");
  EXPECT_EQ(
      PolicyText(policy),
      "Updates der Art Sicherheit und Neue Funktionen dürfen auf T-1 installiert werden, ohne mich wieder zu "
      "fragen, bis ich dies zurücknehme.");
}

TEST(DeferralTest, WhatIsOfferedIsLaterAndWithinTheLimit) {
  const absl::TimeZone utc = absl::UTCTimeZone();
  const auto keys = [&](absl::Duration limit) {
    std::vector<std::string> offered;
    absl::Time last = kNow;
    for (const Deferral& deferral : Deferrals(kNow, kNow + limit, utc)) {
      EXPECT_GT(deferral.until, last);
      EXPECT_LE(deferral.until, kNow + limit);
      last = deferral.until;
      offered.push_back(deferral.label_key);
    }
    return offered;
  };
  EXPECT_THAT(keys(absl::Hours(4)), ElementsAre("defer.hour", "defer.latest"));
  EXPECT_THAT(keys(absl::Hours(72)), ElementsAre("defer.hour", "defer.tonight", "defer.tomorrow",
                                                 "defer.three_days", "defer.latest"));
  EXPECT_THAT(keys(absl::Minutes(5)), ElementsAre("defer.latest"));
  EXPECT_THAT(keys(absl::ZeroDuration()), IsEmpty());
  EXPECT_THAT(keys(absl::Hours(720)), SizeIs(6));
}

// A manufacturer's text that would be markup, in every place where it could be.
TEST(PageTest, HostileTextIsNothingButText) {
  const std::string hostile = "<script>x</script>\"'><img src=x onerror=y>&\x1b[2J";
  HomeFacts facts = MakeFacts();
  facts.gateway_id = hostile;
  consent::Prompt prompt = MakePrompt();
  consent::ConsentQuestion& asked = *prompt.mutable_question();
  asked.set_from_version(hostile);
  asked.set_ecu_serial(hostile);
  common::v1::ReleaseInfo& release = *asked.mutable_release();
  release.set_version(hostile);
  release.set_mixed_justification(hostile);
  for (common::v1::UserNotice& notice : *release.mutable_notices()) {
    notice.set_purpose(hostile);
    notice.set_changes(hostile);
    notice.set_unavailable_functions(hostile);
    notice.set_instructions(hostile);
  }
  release.mutable_advisory()->set_ids(0, hostile);
  release.mutable_advisory()->set_risk(hostile);
  release.mutable_advisory()->set_action(hostile);
  for (std::string* field :
       {release.mutable_terms()->mutable_id(), release.mutable_terms()->mutable_version(),
        release.mutable_terms()->mutable_language(), release.mutable_terms()->mutable_text(),
        release.mutable_terms()->mutable_text_sha256()}) {
    *field = hostile;
  }
  facts.prompts = {prompt};
  facts.assignments = {MakeAssignment("A", common::v1::UPDATE_PHASE_FAILED),
                       MakeAssignment("B", common::v1::UPDATE_PHASE_DOWNLOADING)};
  for (rollout::v1::Assignment& assignment : facts.assignments) {
    assignment.set_failure_detail(hostile);
    assignment.set_to_version(hostile);
    assignment.set_from_version(hostile);
    assignment.set_consented_by(hostile);
  }
  facts.releases["manufacturers/acme/releases/1"] = release;
  facts.components[0].set_device("gateways/home-1/devices/" + hostile);
  facts.components[0].set_model(hostile);
  facts.components[0].mutable_installed()->set_version(hostile);
  facts.confirmations = {
      {.ecu_serial = "T-1", .sha256 = "aa", .version = hostile, .approval_result = hostile}};
  facts.policies.emplace_back().set_principal_id(hostile);
  facts.policies[0].set_language(hostile);
  facts.policies[0].add_ecu_serials(hostile);
  facts.offers.emplace_back().set_ecu_serial(hostile);
  facts.offers[0].mutable_release()->set_name("manufacturers/" + hostile + "/releases/x");
  facts.check = {.state = Check::State::kDone, .time = kNow};

  for (const std::string& language : Languages()) {
    const Home home = MakeHome(facts, language);
    Visit visit{.speaker = In(language),
                .path = "/",
                .principal = hostile,
                .csrf = "c",
                .notice = hostile,
                .acts = {{.id = "1", .what = hostile, .state = Act::State::kRefused, .reason = hostile},
                         {.id = "2", .what = hostile}}};
    for (const std::string& page :
         {HomePage(home, visit), QuestionPage(home, home.questions[0], visit),
          ConfirmationPage(home, home.confirmations[0], visit), HistoryPage(home, visit),
          PoliciesPage(home, visit), NewPolicyPage(home, facts.policies[0], visit),
          LoginPage(home, visit, hostile, hostile), SorryPage(home, visit, "sorry.missing")}) {
      EXPECT_THAT(page, Not(HasSubstr("<script>x")));
      EXPECT_THAT(page, Not(HasSubstr("<img")));
      EXPECT_THAT(page, Not(HasSubstr("\x1b")));
      EXPECT_THAT(page, HasSubstr("&lt;script&gt;x&lt;/script&gt;&quot;&#39;&gt;"));
      // Nor is a word missing.
      EXPECT_THAT(page, Not(HasSubstr("[[")));
    }
    for (const std::string& text : {QuestionText(home.questions[0], In(language)),
                                    CheckText(home, In(language)), ProgressText(home, In(language)),
                                    HistoryText(home, In(language)), PoliciesText(home, In(language))}) {
      EXPECT_THAT(text, Not(HasSubstr("\x1b")));
      EXPECT_THAT(text, Not(HasSubstr("[[")));
    }
  }
}

TEST(PageTest, WithoutSigningInThereIsNothingToDecideWith) {
  HomeFacts facts = MakeFacts();
  facts.prompts = {MakePrompt()};
  facts.assignments = {MakeAssignment("A", common::v1::UPDATE_PHASE_SUCCEEDED),
                       MakeAssignment("B", common::v1::UPDATE_PHASE_DOWNLOADED)};
  facts.records = {MakeRecord("A", consent::DECISION_GRANTED), MakeRecord("B", consent::DECISION_GRANTED)};
  facts.confirmations = {{.ecu_serial = "T-1", .sha256 = "aa", .approval_result = "EXPIRED"}};
  facts.policies.emplace_back().set_state(consent::Policy::STATE_ACTIVE);
  const Home home = MakeHome(facts, "en");
  Visit visit{.speaker = In("en"), .path = "/"};
  for (const std::string& page : {HomePage(home, visit), QuestionPage(home, home.questions[0], visit),
                                  ConfirmationPage(home, home.confirmations[0], visit),
                                  PoliciesPage(home, visit), HistoryPage(home, visit)}) {
    EXPECT_THAT(page, Not(HasSubstr("csrf")));
    // Who said what is for those who live here.
    EXPECT_THAT(page, Not(HasSubstr("anna")));
  }
}

// SC-USE-7
TEST(PageTest, ForAnImageWithoutApprovalNoStandsFirstAndYesNeedsATick) {
  HomeFacts facts = MakeFacts();
  facts.confirmations = {{.ecu_serial = "T-1", .sha256 = "aa", .approval_result = "EXPIRED"}};
  const Home home = MakeHome(facts, "en");
  const std::string page = ConfirmationPage(
      home, home.confirmations[0], {.speaker = In("en"), .path = "/", .principal = "anna", .csrf = "c"});
  const size_t no = page.find("value=\"no\" autofocus"),
               tick = page.find("name=\"understood\" value=\"yes\" id=\"understood\" required"),
               yes = page.find("name=\"decision\" value=\"yes\"");
  ASSERT_NE(no, std::string::npos);
  EXPECT_LT(no, tick);
  EXPECT_LT(tick, yes);
  EXPECT_THAT(page, HasSubstr("The approval is not valid at this time."));
  EXPECT_EQ(Headline(home, In("en")), "An image without a valid approval needs your decision.");
}

}  // namespace
}  // namespace countersign::gateway
