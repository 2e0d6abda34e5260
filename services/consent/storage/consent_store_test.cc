#include "services/consent/storage/consent_store.h"

#include <memory>
#include <pqxx/pqxx>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/crypto/digest.h"
#include "common/crypto/signer.h"
#include "common/db/migrations.h"
#include "common/db/testing/test_cluster.h"
#include "common/feed/outbox.h"
#include "common/feed/outbox_migrations.h"
#include "common/testing/status_matchers.h"
#include "common/trust/consent_record.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/consent/storage/consent_migrations.h"

namespace countersign::consent {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

class ConsentStoreTest : public ::testing::Test {
 protected:
  ConsentStoreTest() : database_({.conninfo = db::TestCluster::Shared().CreateDatabase()}) {
    EXPECT_OK(db::Migrate(database_, {feed::OutboxMigrations(), ConsentMigrations()}));
  }

  static NewQuestion Ask(const std::string& gateway, int number, absl::string_view image = "image") {
    NewQuestion asked;
    asked.question = {.gateway = gateway,
                      .assignment = absl::StrCat("rollouts/r/assignments/", gateway, "-", number),
                      .ecu_serial = absl::StrCat(gateway, "-", number),
                      .target_path = "acme/lamp/lamp-2.bin",
                      .image_sha256 = crypto::Sha256Hex(image),
                      .from_version = "1.0.0",
                      .to_version = "2.0.0",
                      .kind = UpdateKind::kSecurity,
                      .criticality = Criticality::kHigh,
                      .terms_sha256 = "",
                      .notices = {{"en", crypto::Sha256Hex("text")}, {"de-AT", crypto::Sha256Hex("Text")}}};
    asked.wire = std::string("as asked\0", 9);
    return asked;
  }

  static Policy SecurityPolicy(const std::string& gateway, const std::string& id) {
    return {.gateway = gateway,
            .id = id,
            .principal_id = "user-1",
            .kinds = {UpdateKind::kSecurity},
            .language = "en",
            .text_sha256 = crypto::Sha256Hex("policy"),
            .created_at = kNow};
  }

  static consent::Answer Grant() {
    return {.event = QuestionEvent::kUserGrants,
            .principal_id = "user-2",
            .language = "en",
            .text_sha256 = crypto::Sha256Hex("text")};
  }

  absl::StatusOr<std::vector<AskedQuestion>> Request(const std::vector<NewQuestion>& questions,
                                                     absl::Time now = kNow) {
    std::vector<std::string> gateways;
    for (const NewQuestion& asked : questions) gateways.push_back(asked.question.gateway);
    return store_.Change("Request", gateways, now,
                         [&](Changes& changes) { return changes.Request(questions); });
  }

  absl::StatusOr<AskedQuestion> Answer(const AskedQuestion& asked, const consent::Answer& answer,
                                       absl::Time now = kNow) {
    return store_.Change("Answer", {asked.question.gateway}, now, [&](Changes& changes) {
      return changes.Answer(asked.question.gateway, asked.id, answer);
    });
  }

  absl::Status AddPolicy(const Policy& policy, absl::Time now = kNow) {
    return store_.Change("AddPolicy", {policy.gateway}, now,
                         [&](Changes& changes) { return changes.AddPolicy(policy); });
  }

  absl::Status ApplyDue(const std::string& gateway, absl::Time now) {
    return store_.Change("ApplyDue", {gateway}, now, [](Changes&) { return absl::OkStatus(); });
  }

  // The decisions in the outbox, in order: "<state> <assignment>".
  std::vector<std::string> Events() {
    std::vector<std::string> events;
    const absl::StatusOr<feed::Page> page = feed::Read(database_, "", 1000);
    EXPECT_OK(page.status());
    for (const feed::Event& event : page->events) events.push_back(event.payload);
    return events;
  }

  int64_t Count(const std::string& sql) {
    return *database_.Read("Count", [&](db::Reader& reader) -> absl::StatusOr<int64_t> {
      return reader.exec1(sql)[0].as<int64_t>();
    });
  }

  db::Database database_;
  std::shared_ptr<const crypto::PemSigner> key_ =
      std::make_shared<const crypto::PemSigner>(*crypto::PemSigner::Generate(crypto::KeyType::kEd25519));
  int reported_ = 0;
  ConsentStore store_{database_,
                      Recorder(key_),
                      {.rules = {},
                       .encode =
                           [](const AskedQuestion& asked) {
                             return absl::StrCat(StateName(asked.decision->decision), " ",
                                                 asked.question.ecu_serial);
                           },
                       .on_decision = [this](QuestionState) { ++reported_; }}};
};

TEST_F(ConsentStoreTest, AQuestionComesBackAsItWasAsked) {
  ASSERT_OK_AND_ASSIGN(const auto asked, Request({Ask("gw-1", 1)}));
  ASSERT_OK_AND_ASSIGN(const auto prompts, store_.ListPrompts("gw-1", false, std::nullopt, 10));
  ASSERT_THAT(prompts, SizeIs(1));
  EXPECT_EQ(prompts[0].wire, std::string("as asked\0", 9));
  EXPECT_EQ(prompts[0].state, QuestionState::kWaiting);
  EXPECT_EQ(prompts[0].latest_deferral, kNow + absl::Hours(72));
  ASSERT_THAT(prompts[0].question.notices, SizeIs(2));
  EXPECT_EQ(prompts[0].question.notices[1].language, "de-AT");
  EXPECT_THAT(Events(), IsEmpty());
}

TEST_F(ConsentStoreTest, TheSameQuestionAskedTwiceIsOneQuestion) {
  ASSERT_OK_AND_ASSIGN(const auto first, Request({Ask("gw-1", 1), Ask("gw-1", 1)}));
  ASSERT_OK_AND_ASSIGN(const auto second, Request({Ask("gw-1", 1)}, kNow + absl::Hours(1)));
  EXPECT_EQ(first[0].id, first[1].id);
  EXPECT_EQ(first[0].id, second[0].id);
  ASSERT_OK(Answer(first[0], Grant()).status());
  ASSERT_OK_AND_ASSIGN(const auto third, Request({Ask("gw-1", 1)}));
  EXPECT_EQ(third[0].state, QuestionState::kGranted);
  EXPECT_THAT(Events(), ElementsAre("GRANTED gw-1-1"));
  EXPECT_EQ(Count("SELECT count(*) FROM questions"), 1);
}

TEST_F(ConsentStoreTest, AnotherImageOfTheSameAssignmentIsAnotherQuestionAndClosesTheFirst) {
  ASSERT_OK(Request({Ask("gw-1", 1, "old")}).status());
  ASSERT_OK(Request({Ask("gw-1", 1, "new")}).status());
  ASSERT_OK_AND_ASSIGN(const auto waiting, store_.ListPrompts("gw-1", false, std::nullopt, 10));
  ASSERT_THAT(waiting, SizeIs(1));
  EXPECT_EQ(waiting[0].question.image_sha256, crypto::Sha256Hex("new"));
  ASSERT_OK_AND_ASSIGN(const auto all, store_.ListPrompts("gw-1", true, std::nullopt, 10));
  EXPECT_THAT(all, SizeIs(2));
  // Offered again, the old one is asked again.
  ASSERT_OK_AND_ASSIGN(const auto again, Request({Ask("gw-1", 1, "old")}));
  EXPECT_EQ(again[0].state, QuestionState::kWaiting);
}

// HOME-6
TEST_F(ConsentStoreTest, APolicyGrantsWhatItCoversAtOnceAndWhatWaits) {
  ASSERT_OK(Request({Ask("gw-1", 1)}).status());
  ASSERT_OK(AddPolicy(SecurityPolicy("gw-1", "p-1")));
  ASSERT_OK_AND_ASSIGN(const auto answers, Request({Ask("gw-1", 1), Ask("gw-1", 2), Ask("gw-2", 1)}));
  EXPECT_EQ(answers[0].state, QuestionState::kGranted);
  EXPECT_EQ(answers[1].state, QuestionState::kGranted);
  EXPECT_EQ(answers[2].state, QuestionState::kWaiting);
  EXPECT_EQ(answers[1].decision->policy_id, "p-1");
  EXPECT_EQ(answers[1].decision->principal_id, "user-1");
  EXPECT_FALSE(answers[1].asked_at.has_value());
  EXPECT_THAT(Events(), ElementsAre("GRANTED gw-1-1", "GRANTED gw-1-2"));
  EXPECT_EQ(reported_, 2);
}

// PLUS-2
TEST_F(ConsentStoreTest, AWithdrawnPolicyTakesBackWhatItGrantedAndNothingElse) {
  ASSERT_OK(AddPolicy(SecurityPolicy("gw-1", "p-1")));
  ASSERT_OK(AddPolicy(SecurityPolicy("gw-2", "p-2")));
  ASSERT_OK(Request({Ask("gw-1", 1), Ask("gw-2", 1)}).status());
  for (int i = 0; i < 2; ++i) {  // the second time it changes nothing
    ASSERT_OK_AND_ASSIGN(const Policy policy,
                         store_.Change("WithdrawPolicy", {"gw-1"}, kNow, [](Changes& changes) {
                           return changes.WithdrawPolicy("gw-1", "p-1");
                         }));
    EXPECT_FALSE(policy.active);
  }
  EXPECT_THAT(Events(), ElementsAre("GRANTED gw-1-1", "GRANTED gw-2-1", "WITHDRAWN gw-1-1"));
  ASSERT_OK_AND_ASSIGN(const auto answers, Request({Ask("gw-1", 1), Ask("gw-1", 2), Ask("gw-2", 1)}));
  EXPECT_EQ(answers[0].state, QuestionState::kWithdrawn);
  EXPECT_EQ(answers[1].state, QuestionState::kWaiting);
  EXPECT_EQ(answers[2].state, QuestionState::kGranted);
}

TEST_F(ConsentStoreTest, ADeferredQuestionComesBackAtItsTime) {
  ASSERT_OK_AND_ASSIGN(const auto asked, Request({Ask("gw-1", 1)}));
  consent::Answer later = Grant();
  later.event = QuestionEvent::kUserDefers;
  later.deferred_until = kNow + absl::Hours(2);
  ASSERT_OK(Answer(asked[0], later).status());
  EXPECT_THAT(store_.DueGateways(kNow + absl::Hours(1), 10), IsOkAndHolds(IsEmpty()));
  ASSERT_OK_AND_ASSIGN(auto answers, Request({Ask("gw-1", 1)}, kNow + absl::Hours(1)));
  EXPECT_EQ(answers[0].state, QuestionState::kDeferred);

  EXPECT_THAT(store_.DueGateways(kNow + absl::Hours(2), 10), IsOkAndHolds(ElementsAre("gw-1")));
  ASSERT_OK(ApplyDue("gw-1", kNow + absl::Hours(2)));
  ASSERT_OK_AND_ASSIGN(const auto prompts, store_.ListPrompts("gw-1", false, std::nullopt, 10));
  ASSERT_THAT(prompts, SizeIs(1));
  // The limit counts from the first time.
  EXPECT_EQ(prompts[0].latest_deferral, kNow + absl::Hours(72));
  ASSERT_OK(Answer(prompts[0], Grant(), kNow + absl::Hours(3)).status());
  EXPECT_THAT(Events(), ElementsAre("DEFERRED gw-1-1", "GRANTED gw-1-1"));
}

// PLUS-2
TEST_F(ConsentStoreTest, AGrantExpiresAndThatIsADecisionToo) {
  ASSERT_OK_AND_ASSIGN(const auto asked, Request({Ask("gw-1", 1)}));
  ASSERT_OK(Answer(asked[0], Grant()).status());
  const absl::Time over = kNow + Rules().grant_validity;
  ASSERT_OK(ApplyDue("gw-1", over - absl::Seconds(1)));
  EXPECT_THAT(Events(), SizeIs(1));
  ASSERT_OK(ApplyDue("gw-1", over));
  ASSERT_OK(ApplyDue("gw-1", over));
  EXPECT_THAT(Events(), ElementsAre("GRANTED gw-1-1", "EXPIRED gw-1-1"));
  ASSERT_OK_AND_ASSIGN(const AskedQuestion record, store_.GetRecord("gw-1", asked[0].id));
  EXPECT_EQ(record.decision->decision, QuestionState::kExpired);
  EXPECT_EQ(record.recorded_at, kNow);
}

TEST_F(ConsentStoreTest, AQuestionThatNobodyAnswersIsClosedAndCanBeAskedAgain) {
  ASSERT_OK_AND_ASSIGN(const auto asked, Request({Ask("gw-1", 1)}));
  const absl::Time over = kNow + Rules().prompt_validity;
  ASSERT_OK(ApplyDue("gw-1", over));
  EXPECT_THAT(Answer(asked[0], Grant(), over),
              StatusIs(absl::StatusCode::kFailedPrecondition, "PROMPT_EXPIRED"));
  ASSERT_OK(Request({Ask("gw-1", 1)}, over).status());
  EXPECT_OK(Answer(asked[0], Grant(), over));
}

TEST_F(ConsentStoreTest, AClosedQuestionWaitsNoLongerAndADecisionStays) {
  ASSERT_OK_AND_ASSIGN(const auto asked, Request({Ask("gw-1", 1), Ask("gw-1", 2)}));
  ASSERT_OK(Answer(asked[1], Grant()).status());
  const std::vector<QuestionKey> keys = {{"gw-1", asked[0].question.assignment},
                                         {"gw-1", asked[1].question.assignment},
                                         {"gw-1", "rollouts/r/assignments/unknown"}};
  ASSERT_OK(store_.Change("Close", {"gw-1"}, kNow, [&](Changes& changes) { return changes.Close(keys); }));
  EXPECT_THAT(store_.ListPrompts("gw-1", false, std::nullopt, 10), IsOkAndHolds(IsEmpty()));
  ASSERT_OK_AND_ASSIGN(const AskedQuestion record, store_.GetRecord("gw-1", asked[1].id));
  EXPECT_EQ(record.state, QuestionState::kGranted);
}

// PLUS-2
TEST_F(ConsentStoreTest, EveryDecisionIsKeptAsItWasSignedAndCannotBeChanged) {
  ASSERT_OK_AND_ASSIGN(const auto asked, Request({Ask("gw-1", 1)}));
  ASSERT_OK(Answer(asked[0], Grant()).status());
  ASSERT_OK(store_.Change("Withdraw", {"gw-1"}, kNow, [&](Changes& changes) {
    return changes.Withdraw("gw-1", asked[0].id, "user-3").status();
  }));
  EXPECT_EQ(Count("SELECT count(*) FROM record_events"), 2);
  for (const char* change : {"UPDATE record_events SET principal_id = 'x'", "DELETE FROM record_events",
                             "TRUNCATE record_events"}) {
    EXPECT_FALSE(database_
                     .RunInTransaction("Tamper",
                                       [&](db::Transaction& tx) -> absl::Status {
                                         tx.exec(change);
                                         return absl::OkStatus();
                                       })
                     .ok())
        << change;
  }
  ASSERT_OK_AND_ASSIGN(const AskedQuestion record, store_.GetRecord("gw-1", asked[0].id));
  ASSERT_OK_AND_ASSIGN(const trust::Envelope envelope,
                       trust::Envelope::Parse(record.decision->signed_record));
  EXPECT_OK(envelope.VerifyBy(key_->public_key()));
  ASSERT_OK_AND_ASSIGN(const trust::ConsentRecord signed_record, trust::ConsentRecord::Parse(envelope));
  EXPECT_EQ(signed_record.decision, trust::ConsentRecord::Decision::kWithdrawn);
  EXPECT_EQ(signed_record.principal_id, "user-3");
}

TEST_F(ConsentStoreTest, OfTwoWhoAnswerAtOnceOneIsHeard) {
  for (int round = 0; round < 10; ++round) {
    ASSERT_OK_AND_ASSIGN(const auto asked, Request({Ask("gw-1", round)}));
    absl::Status granted, denied;
    std::thread one([&] { granted = Answer(asked[0], Grant()).status(); });
    std::thread other([&] {
      consent::Answer no = Grant();
      no.event = QuestionEvent::kUserDenies;
      denied = Answer(asked[0], no).status();
    });
    one.join();
    other.join();
    EXPECT_NE(granted.ok(), denied.ok()) << granted << " " << denied;
  }
  EXPECT_THAT(Events(), SizeIs(10));
}

// A question that comes while a policy is made is granted, whoever is first.
TEST_F(ConsentStoreTest, NoQuestionSlipsPastANewPolicy) {
  for (int round = 0; round < 10; ++round) {
    const std::string gateway = absl::StrCat("gw-", round);
    std::thread asks([&] { EXPECT_OK(Request({Ask(gateway, 1)}).status()); });
    std::thread allows([&] { EXPECT_OK(AddPolicy(SecurityPolicy(gateway, "p"))); });
    asks.join();
    allows.join();
    ASSERT_OK_AND_ASSIGN(const auto answers, Request({Ask(gateway, 1)}));
    EXPECT_EQ(answers[0].state, QuestionState::kGranted);
  }
}

TEST_F(ConsentStoreTest, ListsGoOnWhereThePageBeforeEnded) {
  ASSERT_OK(Request({Ask("gw-1", 1), Ask("gw-1", 2), Ask("gw-1", 3), Ask("gw-2", 1)}).status());
  std::vector<std::string> serials;
  std::optional<ConsentStore::After> after;
  while (true) {
    ASSERT_OK_AND_ASSIGN(const auto page, store_.ListPrompts(std::nullopt, false, after, 1));
    if (page.empty()) break;
    serials.push_back(page[0].question.ecu_serial);
    after = {ConsentStore::TimeKey(*page[0].asked_at), page[0].question.gateway, page[0].id};
  }
  EXPECT_THAT(serials, testing::UnorderedElementsAre("gw-1-1", "gw-1-2", "gw-1-3", "gw-2-1"));
  EXPECT_THAT(store_.ListRecords(std::nullopt, std::nullopt, 10), IsOkAndHolds(IsEmpty()));
}

TEST_F(ConsentStoreTest, AGatewayHasABoundedNumberOfPolicies) {
  for (int i = 0; i < 100; ++i) ASSERT_OK(AddPolicy(SecurityPolicy("gw-1", absl::StrCat("p-", i))));
  EXPECT_THAT(AddPolicy(SecurityPolicy("gw-1", "one more")),
              StatusIs(absl::StatusCode::kResourceExhausted, "POLICY_LIMIT"));
  ASSERT_OK_AND_ASSIGN(const auto policies, store_.ListPolicies("gw-1", std::nullopt, 1000));
  EXPECT_THAT(policies, SizeIs(100));
  EXPECT_THAT(policies[0].kinds, ElementsAre(UpdateKind::kSecurity));
}

}  // namespace
}  // namespace countersign::consent
