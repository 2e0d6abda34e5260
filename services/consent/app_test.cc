// The service as its callers see it: over mutual TLS, on a real PostgreSQL.
#include "services/consent/app.h"

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/crypto/digest.h"
#include "common/crypto/random.h"
#include "common/crypto/signer.h"
#include "common/db/testing/test_cluster.h"
#include "common/file/file.h"
#include "common/metrics/metrics.h"
#include "common/rpc/channel.h"
#include "common/rpc/status_grpc.h"
#include "common/rpc/testing/test_server.h"
#include "common/testing/fake_clock.h"
#include "common/testing/status_matchers.h"
#include "common/trust/consent_record.h"
#include "common/trust/envelope.h"
#include "common/update/release_info.h"
#include "countersign/consent/v1/consent.grpc.pb.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "services/consent/api/roles.h"

namespace countersign::consent {
namespace {

namespace v1 = ::countersign::consent::v1;

using rpc::Role;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using Stub = v1::ConsentService::Stub;

constexpr absl::StatusCode kInvalidArgument = absl::StatusCode::kInvalidArgument;
constexpr absl::StatusCode kFailedPrecondition = absl::StatusCode::kFailedPrecondition;
constexpr absl::StatusCode kPermissionDenied = absl::StatusCode::kPermissionDenied;
constexpr absl::StatusCode kNotFound = absl::StatusCode::kNotFound;

const char kTerms[] = "You use it at your own risk.";

template <typename Response, typename Request>
absl::StatusOr<Response> Call(Stub& stub,
                              grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                              const Request& request) {
  rpc::CallContext context(absl::Seconds(30));
  Response response;
  const absl::Status status = rpc::FromGrpc((stub.*method)(context.get(), request, &response));
  if (!status.ok()) return status;
  return response;
}

class AppTest : public ::testing::Test {
 protected:
  AppTest() {
    const std::string key_file = absl::StrCat(pki_.folder(), "/record.key");
    EXPECT_OK(WriteFileAtomically(key_file, record_key_.ToPem()));
    Config config;
    config.server.tls = pki_.TlsFor({Role::kService, "consent"});
    config.server.registry = &metrics_;
    config.database = db::TestCluster::Shared().CreateDatabase();
    config.record_key = key_file;
    config.housekeeping_interval = absl::Milliseconds(20);
    config.clock = &clock_;
    auto started = App::Start(config);
    EXPECT_OK(started.status());
    app_ = *std::move(started);
    rollout_ = As({Role::kService, "rollout"});
  }

  std::unique_ptr<Stub> As(const rpc::Identity& identity) {
    rpc::Dialer dialer(pki_.TlsFor(identity));
    return v1::ConsentService::NewStub(
        dialer.Dial(absl::StrCat("127.0.0.1:", app_->grpc_port()), {Role::kService, "consent"}));
  }
  std::unique_ptr<Stub> AsGateway(const std::string& id) { return As({Role::kGateway, id}); }

  static v1::ConsentQuestion Question(const std::string& gateway, const std::string& serial) {
    v1::ConsentQuestion question;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
        R"pb(
          from_version: "1.9.0"
          release {
            version: "2.0.1"
            version_format: VERSION_FORMAT_TRIPLET
            release_counter: 7
            models: "T-100"
            hardware_ids: "t100-a"
            image { target_path: "acme/thermostat/thermostat-2.0.1.bin" length_bytes: 4096 }
            criticality: CRITICALITY_HIGH
            kind: UPDATE_KIND_SECURITY
            advisory {
              ids: "CVE-2026-1"
              risk: "Anyone nearby can set the temperature."
              action: "Install it."
            }
            notices {
              language: "en"
              purpose: "Closes a weakness."
              changes: "Nothing else."
              install_duration { seconds: 90 }
              unavailable_functions: "Heating control."
              instructions: "Leave the power on."
            }
            terms { id: "eula" version: "3" language: "en" }
          })pb",
        &question));
    question.set_gateway(gateway);
    question.set_ecu_serial(serial);
    question.set_assignment(absl::StrCat("rollouts/r-1/assignments/", serial));
    question.mutable_release()->mutable_image()->set_sha256(crypto::Sha256Hex("image"));
    question.mutable_release()->mutable_terms()->set_text(kTerms);
    question.mutable_release()->mutable_terms()->set_text_sha256(crypto::Sha256Hex(kTerms));
    return question;
  }

  absl::StatusOr<v1::ConsentAnswer> Ask(const v1::ConsentQuestion& question) {
    v1::RequestConsentRequest request;
    *request.add_questions() = question;
    const auto response = Call(*rollout_, &Stub::RequestConsent, request);
    if (!response.ok()) return response.status();
    return response->answers(0);
  }

  v1::Prompt OnlyPrompt(Stub& gateway, const std::string& id) {
    v1::ListPromptsRequest request;
    request.set_parent(absl::StrCat("gateways/", id));
    const auto response = Call(gateway, &Stub::ListPrompts, request);
    EXPECT_OK(response.status());
    EXPECT_THAT(response->prompts(), SizeIs(1));
    return response->prompts(0);
  }

  // What a user sends who has read the prompt and accepts everything.
  static v1::AnswerPromptRequest Yes(const v1::Prompt& prompt) {
    v1::AnswerPromptRequest request;
    request.set_name(prompt.name());
    request.set_decision(v1::DECISION_GRANTED);
    request.set_principal_id("user-1");
    request.set_language("en");
    request.set_text_sha256(update::NoticeTextSha256(prompt.question().release().notices(0)));
    request.set_accepted_terms_sha256(prompt.question().release().terms().text_sha256());
    request.set_request_id(crypto::Uuid());
    return request;
  }

  static v1::CreatePolicyRequest SecurityPolicy(const std::string& gateway) {
    v1::CreatePolicyRequest request;
    request.set_parent(absl::StrCat("gateways/", gateway));
    request.mutable_policy()->set_principal_id("user-1");
    request.mutable_policy()->add_kinds(common::v1::UPDATE_KIND_SECURITY);
    request.mutable_policy()->add_accepted_terms_sha256(crypto::Sha256Hex(kTerms));
    request.mutable_policy()->set_language("en");
    request.mutable_policy()->set_text_sha256(crypto::Sha256Hex("Install what closes weaknesses."));
    request.set_request_id(crypto::Uuid());
    return request;
  }

  rpc::testing::TestPki pki_;
  FakeClock clock_;
  metrics::Registry metrics_;
  crypto::PemSigner record_key_ = *crypto::PemSigner::Generate(crypto::KeyType::kEcdsaP256);
  std::unique_ptr<App> app_;
  std::unique_ptr<Stub> rollout_;
};

// FOTA-F, HOME-8, PLUS-2
TEST_F(AppTest, AUserIsAskedAndTheAnswerIsProof) {
  ASSERT_OK_AND_ASSIGN(v1::ConsentAnswer answer, Ask(Question("gw-1", "ecu-1")));
  EXPECT_EQ(answer.decision(), v1::DECISION_PENDING);
  EXPECT_FALSE(answer.has_record());

  const auto gateway = AsGateway("gw-1");
  const v1::Prompt prompt = OnlyPrompt(*gateway, "gw-1");
  EXPECT_EQ(prompt.state(), v1::Prompt::STATE_WAITING);
  EXPECT_EQ(prompt.question().SerializeAsString(), Question("gw-1", "ecu-1").SerializeAsString());
  EXPECT_TRUE(prompt.has_latest_deferral_time());
  ASSERT_OK_AND_ASSIGN(const v1::ConsentRecord record, Call(*gateway, &Stub::AnswerPrompt, Yes(prompt)));
  EXPECT_EQ(record.decision(), v1::DECISION_GRANTED);
  EXPECT_EQ(record.policy(), "");

  ASSERT_OK_AND_ASSIGN(answer, Ask(Question("gw-1", "ecu-1")));
  EXPECT_EQ(answer.decision(), v1::DECISION_GRANTED);
  ASSERT_OK_AND_ASSIGN(const trust::Envelope envelope,
                       trust::Envelope::Parse(answer.record().signed_record()));
  const trust::ConsentQuestion installs{"gw-1", "ecu-1", "acme/thermostat/thermostat-2.0.1.bin",
                                        crypto::Sha256Hex("image"), "SECURITY"};
  ASSERT_OK_AND_ASSIGN(const trust::ConsentRecord proof,
                       trust::VerifyConsent(envelope, record_key_.public_key(), installs, clock_.Now()));
  EXPECT_EQ(proof.terms_sha256, crypto::Sha256Hex(kTerms));
  EXPECT_EQ(proof.principal_id, "user-1");
  EXPECT_EQ(record.name(), absl::StrCat("gateways/gw-1/records/", proof.record_id));

  v1::GetRecordRequest get;
  get.set_name(record.name());
  EXPECT_OK(Call(*As({Role::kAuthority, "ma"}), &Stub::GetRecord, get));
  EXPECT_THAT(metrics_.Serialize(),
              HasSubstr(R"(countersign_consent_decisions_total{decision="granted"} 1)"));
}

// HOME-6
TEST_F(AppTest, APolicyGrantsWithoutAsking) {
  const auto gateway = AsGateway("gw-1");
  ASSERT_OK_AND_ASSIGN(const v1::Policy policy, Call(*gateway, &Stub::CreatePolicy, SecurityPolicy("gw-1")));
  EXPECT_EQ(policy.state(), v1::Policy::STATE_ACTIVE);
  ASSERT_OK_AND_ASSIGN(const v1::ConsentAnswer answer, Ask(Question("gw-1", "ecu-1")));
  EXPECT_EQ(answer.decision(), v1::DECISION_GRANTED);
  EXPECT_EQ(answer.record().policy(), policy.name());
  v1::ConsentQuestion feature = Question("gw-1", "ecu-2");
  feature.mutable_release()->set_kind(common::v1::UPDATE_KIND_FUNCTIONALITY);
  ASSERT_OK_AND_ASSIGN(const v1::ConsentAnswer asked, Ask(feature));
  EXPECT_EQ(asked.decision(), v1::DECISION_PENDING);

  v1::WithdrawPolicyRequest withdraw;
  withdraw.set_name(policy.name());
  ASSERT_OK_AND_ASSIGN(const v1::Policy ended, Call(*gateway, &Stub::WithdrawPolicy, withdraw));
  EXPECT_EQ(ended.state(), v1::Policy::STATE_WITHDRAWN);
  ASSERT_OK_AND_ASSIGN(const v1::ConsentAnswer after, Ask(Question("gw-1", "ecu-1")));
  EXPECT_EQ(after.decision(), v1::DECISION_WITHDRAWN);
}

TEST_F(AppTest, AnAnswerToAnotherTextOrWithoutTheTermsIsRefused) {
  ASSERT_OK(Ask(Question("gw-1", "ecu-1")).status());
  const auto gateway = AsGateway("gw-1");
  const v1::AnswerPromptRequest yes = Yes(OnlyPrompt(*gateway, "gw-1"));
  v1::AnswerPromptRequest wrong = yes;
  wrong.set_text_sha256(crypto::Sha256Hex("something nicer"));
  EXPECT_THAT(Call(*gateway, &Stub::AnswerPrompt, wrong), StatusIs(kInvalidArgument, "TEXT_DIFFERS"));
  wrong = yes;
  wrong.clear_accepted_terms_sha256();
  EXPECT_THAT(Call(*gateway, &Stub::AnswerPrompt, wrong), StatusIs(kInvalidArgument, "TERMS_NOT_ACCEPTED"));
  wrong = yes;
  wrong.set_decision(v1::DECISION_DEFERRED);
  wrong.mutable_deferred_until_time()->set_seconds(absl::ToUnixSeconds(clock_.Now() + absl::Hours(73)));
  EXPECT_THAT(Call(*gateway, &Stub::AnswerPrompt, wrong), StatusIs(kInvalidArgument, "DEFERRAL_TOO_LONG"));
  wrong = yes;
  wrong.set_decision(v1::DECISION_EXPIRED);
  EXPECT_THAT(Call(*gateway, &Stub::AnswerPrompt, wrong), StatusIs(kInvalidArgument, "REQUEST_INVALID"));
  EXPECT_OK(Call(*gateway, &Stub::AnswerPrompt, yes));
}

TEST_F(AppTest, AnAnswerThatIsSentTwiceIsGivenOnce) {
  ASSERT_OK(Ask(Question("gw-1", "ecu-1")).status());
  const auto gateway = AsGateway("gw-1");
  v1::AnswerPromptRequest yes = Yes(OnlyPrompt(*gateway, "gw-1"));
  ASSERT_OK_AND_ASSIGN(const v1::ConsentRecord first, Call(*gateway, &Stub::AnswerPrompt, yes));
  ASSERT_OK_AND_ASSIGN(const v1::ConsentRecord second, Call(*gateway, &Stub::AnswerPrompt, yes));
  EXPECT_EQ(first.SerializeAsString(), second.SerializeAsString());
  yes.set_request_id(crypto::Uuid());
  EXPECT_THAT(Call(*gateway, &Stub::AnswerPrompt, yes), StatusIs(kFailedPrecondition, "PROMPT_ANSWERED"));
  yes.set_request_id("again");
  EXPECT_THAT(Call(*gateway, &Stub::AnswerPrompt, yes), StatusIs(kInvalidArgument, "REQUEST_ID_INVALID"));
}

// PLUS-2
TEST_F(AppTest, AGrantIsWithdrawnOnce) {
  ASSERT_OK(Ask(Question("gw-1", "ecu-1")).status());
  const auto gateway = AsGateway("gw-1");
  ASSERT_OK_AND_ASSIGN(const v1::ConsentRecord record,
                       Call(*gateway, &Stub::AnswerPrompt, Yes(OnlyPrompt(*gateway, "gw-1"))));
  v1::WithdrawConsentRequest withdraw;
  withdraw.set_name(record.name());
  withdraw.set_principal_id("user-2");
  withdraw.set_request_id(crypto::Uuid());
  ASSERT_OK_AND_ASSIGN(const v1::ConsentRecord withdrawn, Call(*gateway, &Stub::WithdrawConsent, withdraw));
  EXPECT_EQ(withdrawn.decision(), v1::DECISION_WITHDRAWN);
  EXPECT_EQ(withdrawn.principal_id(), "user-2");
  withdraw.set_request_id(crypto::Uuid());
  EXPECT_THAT(Call(*gateway, &Stub::WithdrawConsent, withdraw), StatusIs(kFailedPrecondition, "NOT_GRANTED"));
}

// FOTA-F
TEST_F(AppTest, AQuestionThatWouldNotTellTheUserAllIsRefused) {
  v1::ConsentQuestion question = Question("gw-1", "ecu-1");
  question.mutable_release()->mutable_notices(0)->clear_unavailable_functions();
  const absl::StatusOr<v1::ConsentAnswer> answer = Ask(question);
  EXPECT_THAT(answer, StatusIs(kInvalidArgument, "NOTICE_INCOMPLETE"));
  EXPECT_THAT(std::string(answer.status().message()), HasSubstr("unavailable_functions"));
  question = Question("gw-1", "ecu-1");
  question.set_assignment("ecu-1");
  EXPECT_THAT(Ask(question), StatusIs(kInvalidArgument, "REQUEST_INVALID"));
}

TEST_F(AppTest, AGatewaySeesAndTouchesItsOwnOnly) {
  ASSERT_OK(Ask(Question("gw-1", "ecu-1")).status());
  const auto own = AsGateway("gw-1");
  const auto other = AsGateway("gw-2");
  const v1::Prompt prompt = OnlyPrompt(*own, "gw-1");
  EXPECT_THAT(Call(*other, &Stub::AnswerPrompt, Yes(prompt)),
              StatusIs(kPermissionDenied, "NOT_YOUR_GATEWAY"));
  EXPECT_THAT(Call(*other, &Stub::CreatePolicy, SecurityPolicy("gw-1")),
              StatusIs(kPermissionDenied, "NOT_YOUR_GATEWAY"));
  ASSERT_OK_AND_ASSIGN(const v1::Policy policy, Call(*own, &Stub::CreatePolicy, SecurityPolicy("gw-1")));
  v1::WithdrawPolicyRequest withdraw_policy;
  withdraw_policy.set_name(policy.name());
  EXPECT_THAT(Call(*other, &Stub::WithdrawPolicy, withdraw_policy),
              StatusIs(kPermissionDenied, "NOT_YOUR_GATEWAY"));
  v1::ListRecordsRequest records;
  records.set_parent("gateways/gw-1");
  EXPECT_THAT(Call(*other, &Stub::ListRecords, records), StatusIs(kPermissionDenied, "NOT_YOUR_GATEWAY"));
  ASSERT_OK_AND_ASSIGN(const v1::ListRecordsResponse listed, Call(*own, &Stub::ListRecords, records));
  ASSERT_THAT(listed.records(), SizeIs(1));
  v1::GetRecordRequest get;
  get.set_name(listed.records(0).name());
  EXPECT_THAT(Call(*other, &Stub::GetRecord, get), StatusIs(kPermissionDenied, "NOT_YOUR_GATEWAY"));
  v1::WithdrawConsentRequest withdraw;
  withdraw.set_name(listed.records(0).name());
  withdraw.set_principal_id("user-2");
  withdraw.set_request_id(crypto::Uuid());
  EXPECT_THAT(Call(*other, &Stub::WithdrawConsent, withdraw),
              StatusIs(kPermissionDenied, "NOT_YOUR_GATEWAY"));
  // "All" is all of its own.
  records.set_parent("gateways/-");
  ASSERT_OK_AND_ASSIGN(const v1::ListRecordsResponse none, Call(*other, &Stub::ListRecords, records));
  EXPECT_THAT(none.records(), SizeIs(0));
  ASSERT_OK_AND_ASSIGN(const v1::ListRecordsResponse all,
                       Call(*As({Role::kOperator, "op"}), &Stub::ListRecords, records));
  EXPECT_THAT(all.records(), SizeIs(1));
}

TEST_F(AppTest, UnknownNamesAreNotFound) {
  const auto gateway = AsGateway("gw-1");
  v1::GetRecordRequest get;
  get.set_name(absl::StrCat("gateways/gw-1/records/", crypto::Uuid()));
  EXPECT_THAT(Call(*gateway, &Stub::GetRecord, get), StatusIs(kNotFound, "RECORD_NOT_FOUND"));
  get.set_name("gateways/gw-1/records/x");
  EXPECT_THAT(Call(*gateway, &Stub::GetRecord, get), StatusIs(kInvalidArgument, "NAME_INVALID"));
  v1::WithdrawPolicyRequest withdraw;
  withdraw.set_name(absl::StrCat("gateways/gw-1/policies/", crypto::Uuid()));
  EXPECT_THAT(Call(*gateway, &Stub::WithdrawPolicy, withdraw), StatusIs(kNotFound, "POLICY_NOT_FOUND"));
}

// Decisions reach the watcher as they are made, also those that time makes, and it resumes where it was.
TEST_F(AppTest, DecisionsAreWatchedAndResumed) {
  rpc::CallContext context(absl::Seconds(30));
  const auto stream = rollout_->WatchDecisions(context.get(), v1::WatchDecisionsRequest());
  ASSERT_OK(Ask(Question("gw-1", "ecu-1")).status());
  const auto gateway = AsGateway("gw-1");
  v1::AnswerPromptRequest later = Yes(OnlyPrompt(*gateway, "gw-1"));
  later.set_decision(v1::DECISION_DEFERRED);
  later.mutable_deferred_until_time()->set_seconds(absl::ToUnixSeconds(clock_.Now() + absl::Hours(1)));
  ASSERT_OK(Call(*gateway, &Stub::AnswerPrompt, later).status());
  v1::WatchDecisionsResponse first;
  ASSERT_TRUE(stream->Read(&first));
  EXPECT_EQ(first.record().decision(), v1::DECISION_DEFERRED);

  clock_.Advance(absl::Hours(1));
  // The first call after that time brings the question back, if the housekeeping has not.
  ASSERT_OK_AND_ASSIGN(const v1::ConsentAnswer again, Ask(Question("gw-1", "ecu-1")));
  EXPECT_EQ(again.decision(), v1::DECISION_PENDING);
  ASSERT_OK(Call(*gateway, &Stub::AnswerPrompt, Yes(OnlyPrompt(*gateway, "gw-1"))).status());
  clock_.Advance(absl::Hours(30 * 24));
  v1::WatchDecisionsResponse second, third;
  ASSERT_TRUE(stream->Read(&second));
  EXPECT_EQ(second.record().decision(), v1::DECISION_GRANTED);
  ASSERT_TRUE(stream->Read(&third));  // by housekeeping
  EXPECT_EQ(third.record().decision(), v1::DECISION_EXPIRED);
  context->TryCancel();

  rpc::CallContext resumed(absl::Seconds(30));
  v1::WatchDecisionsRequest from;
  from.set_resume_token(first.resume_token());
  const auto rest = rollout_->WatchDecisions(resumed.get(), from);
  v1::WatchDecisionsResponse response;
  ASSERT_TRUE(rest->Read(&response));
  EXPECT_EQ(response.resume_token(), second.resume_token());
  resumed->TryCancel();
}

TEST_F(AppTest, ClosedQuestionsAreNoLongerShown) {
  ASSERT_OK(Ask(Question("gw-1", "ecu-1")).status());
  const auto gateway = AsGateway("gw-1");
  const v1::Prompt prompt = OnlyPrompt(*gateway, "gw-1");
  v1::CloseQuestionsRequest close;
  close.add_questions()->set_gateway("gw-1");
  close.mutable_questions(0)->set_assignment(prompt.question().assignment());
  ASSERT_OK(Call(*rollout_, &Stub::CloseQuestions, close).status());
  EXPECT_THAT(Call(*gateway, &Stub::AnswerPrompt, Yes(prompt)),
              StatusIs(kFailedPrecondition, "PROMPT_EXPIRED"));
  v1::ListPromptsRequest list;
  list.set_parent("gateways/gw-1");
  list.set_show_closed(true);
  ASSERT_OK_AND_ASSIGN(const v1::ListPromptsResponse prompts, Call(*gateway, &Stub::ListPrompts, list));
  ASSERT_THAT(prompts.prompts(), SizeIs(1));
  EXPECT_EQ(prompts.prompts(0).state(), v1::Prompt::STATE_CLOSED);
}

TEST_F(AppTest, ListsComeInPages) {
  for (int i = 0; i < 5; ++i) ASSERT_OK(Ask(Question("gw-1", absl::StrCat("ecu-", i))).status());
  const auto gateway = AsGateway("gw-1");
  v1::ListPromptsRequest list;
  list.set_parent("gateways/gw-1");
  list.set_page_size(2);
  std::vector<std::string> names;
  do {
    ASSERT_OK_AND_ASSIGN(const v1::ListPromptsResponse page, Call(*gateway, &Stub::ListPrompts, list));
    for (const v1::Prompt& prompt : page.prompts()) names.push_back(prompt.name());
    list.set_page_token(page.next_page_token());
  } while (!list.page_token().empty());
  EXPECT_THAT(names, SizeIs(5));
  list.set_page_token("wrong");
  EXPECT_THAT(Call(*gateway, &Stub::ListPrompts, list), StatusIs(kInvalidArgument, "PAGE_TOKEN_INVALID"));
}

TEST(ConsentRolesTest, OnlyRolloutAsksAndOnlyGatewaysAnswer) {
  const rpc::RoleTable& roles = ConsentRoles();
  EXPECT_OK(roles.CheckComplete());
  for (const Role role : rpc::kAllRoles) {
    EXPECT_EQ(roles.Allows("AnswerPrompt", {role, "x"}), role == Role::kGateway);
    EXPECT_FALSE(roles.Allows("RequestConsent", {role, "x"}));
    EXPECT_FALSE(roles.Allows("WatchDecisions", {role, "x"}));
  }
  EXPECT_TRUE(roles.Allows("RequestConsent", {Role::kService, "rollout"}));
  EXPECT_FALSE(roles.Allows("RequestConsent", {Role::kService, "liaison"}));
}

}  // namespace
}  // namespace countersign::consent
