// Rollouts with everybody who has a say: the real inventory, package store and consent service, and homes
// whose users answer. HOME-6, HOME-8, PLUS-2.
#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/crypto/digest.h"
#include "common/crypto/random.h"
#include "common/testing/status_matchers.h"
#include "common/trust/consent_record.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/rollout/testing/world.h"

namespace countersign::rollout {
namespace {

using package_store::testing::ImageSpec;
using testing::Call;
using testing::Eventually;
using testing::Gateway;
using testing::Home;
using ::testing::IsEmpty;
using testing::kOperator;
using ::testing::SizeIs;
using testing::Stub;
using testing::World;
using ConsentStub = consent::v1::ConsentService::Stub;

class FlowTest : public ::testing::Test {
 protected:
  FlowTest() : image_(world_.PublishImage(2)) {
    world_.StartConsent();
    world_.PublishDirectorRoot();
  }

  // Planned and launched.
  std::string Launch(const RolloutSpec& spec = {}) {
    Rollout rollout;
    rollout.id = crypto::RandomHex(8);
    rollout.spec = spec;
    rollout.spec.display_name = "Test";
    rollout.created_by = "operator/alice";
    rollout.create_time = SystemClock().Now();
    EXPECT_OK(world_.rollouts().Create(
        rollout, {World::ReleaseOf(image_)},
        {"operator/alice", "Create", crypto::Uuid(), "", [](const Rollout&) { return std::string(); }}));
    const std::string name = absl::StrCat("rollouts/", rollout.id);
    EXPECT_TRUE(Eventually([&] { return Get(name).state() == v1::Rollout::STATE_READY; }));
    v1::StartRolloutRequest request;
    request.set_name(name);
    request.set_request_id(crypto::Uuid());
    EXPECT_OK(Call(*world_.As(kOperator), &Stub::StartRollout, request));
    return name;
  }

  v1::Rollout Get(const std::string& name) {
    v1::GetRolloutRequest request;
    request.set_name(name);
    absl::StatusOr<v1::Rollout> rollout = Call(*world_.As(kOperator), &Stub::GetRollout, request);
    EXPECT_OK(rollout);
    return rollout.value_or(v1::Rollout());
  }

  v1::Assignment Only(const std::string& name) {
    v1::ListAssignmentsRequest request;
    request.set_parent(name);
    const auto page = Call(*world_.As(kOperator), &Stub::ListAssignments, request);
    EXPECT_OK(page);
    EXPECT_THAT(page->assignments(), SizeIs(1));
    return page->assignments_size() == 1 ? page->assignments(0) : v1::Assignment();
  }

  bool Reaches(const std::string& name, common::v1::UpdatePhase phase) {
    return Eventually([&] { return Only(name).phase() == phase; });
  }
  bool IsLetIn(const std::string& name) {
    return Eventually([&] { return Only(name).has_admit_time(); });
  }

  void AddPolicy(const std::string& gateway) {
    consent::v1::CreatePolicyRequest request;
    request.set_parent(absl::StrCat("gateways/", gateway));
    request.mutable_policy()->set_principal_id("user-1");
    request.mutable_policy()->add_kinds(common::v1::UPDATE_KIND_SECURITY);
    request.mutable_policy()->set_language("en");
    request.mutable_policy()->set_text_sha256(std::string(64, 'd'));
    request.set_request_id(crypto::Uuid());
    ASSERT_OK(Call(*world_.ConsentAs(Gateway(gateway)), &ConsentStub::CreatePolicy, request));
  }

  std::vector<consent::v1::Prompt> Prompts(const std::string& gateway) {
    consent::v1::ListPromptsRequest request;
    request.set_parent(absl::StrCat("gateways/", gateway));
    const auto page = Call(*world_.ConsentAs(Gateway(gateway)), &ConsentStub::ListPrompts, request);
    EXPECT_OK(page);
    return {page->prompts().begin(), page->prompts().end()};
  }

  // The user's answer to the only question there is. Returns the record.
  consent::v1::ConsentRecord Answer(const std::string& gateway, consent::v1::Decision decision,
                                    absl::Duration put_off = absl::ZeroDuration()) {
    const std::vector<consent::v1::Prompt> prompts = Prompts(gateway);
    EXPECT_THAT(prompts, SizeIs(1));
    if (prompts.size() != 1) return {};
    const common::v1::UserNotice& notice = prompts[0].question().release().notices(0);
    consent::v1::AnswerPromptRequest request;
    request.set_name(prompts[0].name());
    request.set_decision(decision);
    request.set_principal_id("user-1");
    request.set_language(notice.language());
    request.set_text_sha256(trust::NoticeTextSha256(notice.purpose(), notice.changes(),
                                                    notice.install_duration().seconds(),
                                                    notice.unavailable_functions(), notice.instructions()));
    if (put_off > absl::ZeroDuration()) {
      request.mutable_deferred_until_time()->set_seconds(absl::ToUnixSeconds(SystemClock().Now() + put_off));
    }
    request.set_request_id(crypto::Uuid());
    const auto record = Call(*world_.ConsentAs(Gateway(gateway)), &ConsentStub::AnswerPrompt, request);
    EXPECT_OK(record);
    return record.value_or(consent::v1::ConsentRecord());
  }

  void Withdraw(const std::string& gateway, const std::string& record) {
    consent::v1::WithdrawConsentRequest request;
    request.set_name(record);
    request.set_principal_id("user-1");
    request.set_request_id(crypto::Uuid());
    ASSERT_OK(Call(*world_.ConsentAs(Gateway(gateway)), &ConsentStub::WithdrawConsent, request));
  }

  void ReportUpdating(const std::string& gateway, const std::string& serial) {
    v1::ReportProgressRequest request;
    v1::Progress& progress = *request.add_progress();
    progress.set_ecu_serial(serial);
    progress.set_sha256(crypto::Sha256Hex(image_.content));
    progress.set_phase(common::v1::UPDATE_PHASE_UPDATING);
    const auto response = Call(*world_.As(Gateway(gateway)), &Stub::ReportProgress, request);
    ASSERT_OK(response);
    EXPECT_TRUE(response->accepted(0));
  }

  bool DirectorNames(const std::string& gateway) {
    const absl::StatusOr<trust::Targets> targets = world_.DirectorTargets(gateway);
    EXPECT_OK(targets);
    return targets.ok() && !targets->targets.empty();
  }

  // The authority takes the image back.
  void Revoke() {
    using StoreStub = package_store::v1::PackageStoreService::Stub;
    StoreStub& stub = world_.store.Stub({rpc::Role::kAuthority, "ma"});
    package_store::v1::GetPackageRequest get;
    get.set_target_path(image_.path);
    ASSERT_OK_AND_ASSIGN(const package_store::v1::Package package, Call(stub, &StoreStub::GetPackage, get));
    ASSERT_OK(Call(stub, &StoreStub::RevokePackage, world_.publisher.Revoke(package, "It bricks the lamp.")));
  }

  World world_;
  const ImageSpec image_;
};

// SC-MA: revoked in the middle of a rollout.
TEST_F(FlowTest, ARevokedPackageReachesNoFurtherComponent) {
  // One is let in, the others wait for their turn or for their user.
  for (const std::string gateway : {"gw-1", "gw-2", "gw-3"}) world_.AddHome(gateway, {"ecu-" + gateway});
  AddPolicy("gw-1");
  const std::string name = Launch({.max_concurrent = 1});
  ASSERT_TRUE(Eventually([&] { return DirectorNames("gw-1"); }));
  ASSERT_TRUE(Eventually([&] { return Prompts("gw-2").size() == 1 && Prompts("gw-3").size() == 1; }));
  Answer("gw-2", consent::v1::DECISION_GRANTED);
  Revoke();

  ASSERT_TRUE(Eventually([&] { return Get(name).state() == v1::Rollout::STATE_COMPLETED; }));
  EXPECT_EQ(Get(name).counts().cancelled(), 3);
  EXPECT_EQ(Get(name).counts().failed(), 0) << "no device has failed";
  EXPECT_THAT(Get(name).state_reason(), ::testing::HasSubstr("It bricks the lamp."));
  v1::ListAssignmentsRequest list;
  list.set_parent(name);
  ASSERT_OK_AND_ASSIGN(const auto page, Call(*world_.As(kOperator), &Stub::ListAssignments, list));
  for (const v1::Assignment& assignment : page.assignments()) {
    EXPECT_EQ(assignment.phase(), common::v1::UPDATE_PHASE_CANCELLED);
    EXPECT_EQ(assignment.failure_reason(), common::v1::FAILURE_REASON_NOT_APPROVED);
    EXPECT_THAT(assignment.failure_detail(), ::testing::HasSubstr("revoked by authority/ma"));
  }
  // Whoever has the Director's metadata of before gets newer ones, and is not taken at its word meanwhile.
  EXPECT_FALSE(DirectorNames("gw-1"));
  v1::ReportProgressRequest progress;
  progress.add_progress()->set_ecu_serial("ecu-gw-1");
  progress.mutable_progress(0)->set_sha256(crypto::Sha256Hex(image_.content));
  progress.mutable_progress(0)->set_phase(common::v1::UPDATE_PHASE_UPDATING);
  ASSERT_OK_AND_ASSIGN(const auto taken, Call(*world_.As(Gateway("gw-1")), &Stub::ReportProgress, progress));
  EXPECT_FALSE(taken.accepted(0));
  EXPECT_TRUE(Eventually([&] { return Prompts("gw-3").empty(); }));
}

TEST_F(FlowTest, ARevocationLeavesWhatIsBeingWrittenButTheDirectorNamesItNoLonger) {
  Home& home = world_.AddHome("gw-1", {"ecu-1"});
  AddPolicy("gw-1");
  const std::string name = Launch();
  ASSERT_TRUE(IsLetIn(name));
  ReportUpdating("gw-1", "ecu-1");
  Revoke();
  ASSERT_TRUE(Eventually([&] { return Get(name).state_reason() != ""; }));
  EXPECT_EQ(Only(name).phase(), common::v1::UPDATE_PHASE_UPDATING);
  World::Install(home.ecus["ecu-1"], image_);
  ASSERT_OK(world_.Report(home));
  ASSERT_TRUE(Reaches(name, common::v1::UPDATE_PHASE_SUCCEEDED));
  EXPECT_FALSE(DirectorNames("gw-1"));
}

TEST_F(FlowTest, ARevokedPackageIsNotLaunched) {
  Rollout rollout;
  rollout.id = crypto::RandomHex(8);
  rollout.spec.display_name = "Test";
  rollout.created_by = "operator/alice";
  rollout.create_time = SystemClock().Now();
  ASSERT_OK(world_.rollouts().Create(
      rollout, {World::ReleaseOf(image_)},
      {"operator/alice", "Create", crypto::Uuid(), "", [](const Rollout&) { return std::string(); }}));
  const std::string name = absl::StrCat("rollouts/", rollout.id);
  ASSERT_TRUE(Eventually([&] { return Get(name).state() == v1::Rollout::STATE_READY; }));
  Revoke();
  v1::StartRolloutRequest request;
  request.set_name(name);
  request.set_request_id(crypto::Uuid());
  const auto started = Call(*world_.As(kOperator), &Stub::StartRollout, request);
  EXPECT_THAT(started, StatusIs(absl::StatusCode::kFailedPrecondition, "NOT_APPROVED"));
  EXPECT_THAT(std::string(started.status().message()), ::testing::HasSubstr("It bricks the lamp."));
}

TEST_F(FlowTest, AStandingPolicyGrantsAndTheUpdateIsCompletedByTheSignedReport) {
  Home& home = world_.AddHome("gw-1", {"ecu-1"});
  AddPolicy("gw-1");
  const std::string name = Launch();
  ASSERT_TRUE(IsLetIn(name));
  EXPECT_THAT(Prompts("gw-1"), IsEmpty());
  ASSERT_OK_AND_ASSIGN(const trust::Targets targets, world_.DirectorTargets("gw-1"));
  ASSERT_THAT(targets.targets, SizeIs(1));
  const v1::Assignment let_in = Only(name);
  EXPECT_EQ(let_in.consented_by(), "user-1");
  // The Director names the record, and the record is there for everybody who wants to check.
  const std::string& record_id =
      targets.targets.at(image_.path).custom.ecu_identifiers.at("ecu-1").consent_record_id;
  EXPECT_EQ(let_in.consent_record(), absl::StrCat("gateways/gw-1/records/", record_id));
  consent::v1::GetRecordRequest request;
  request.set_name(let_in.consent_record());
  EXPECT_EQ(Call(*world_.ConsentAs(kOperator), &ConsentStub::GetRecord, request)->decision(),
            consent::v1::DECISION_GRANTED);

  World::Install(home.ecus["ecu-1"], image_);
  ASSERT_OK(world_.Report(home));
  ASSERT_TRUE(Reaches(name, common::v1::UPDATE_PHASE_SUCCEEDED));
  EXPECT_EQ(Get(name).state(), v1::Rollout::STATE_COMPLETED);
}

TEST_F(FlowTest, TheUserIsAskedAndTheAnswerLetsTheComponentIn) {
  world_.AddHome("gw-1", {"ecu-1"});
  const std::string name = Launch();
  ASSERT_TRUE(Reaches(name, common::v1::UPDATE_PHASE_AWAITING_CONSENT));
  EXPECT_TRUE(Call(*world_.As(Gateway("gw-1")), &Stub::CheckIn, v1::CheckInRequest())->prompts_waiting());
  EXPECT_FALSE(DirectorNames("gw-1")) << "nothing before the user has agreed";
  const consent::v1::ConsentRecord record = Answer("gw-1", consent::v1::DECISION_GRANTED);
  ASSERT_TRUE(IsLetIn(name));
  EXPECT_EQ(Only(name).consent_record(), record.name());
  EXPECT_TRUE(DirectorNames("gw-1"));
  EXPECT_FALSE(Call(*world_.As(Gateway("gw-1")), &Stub::CheckIn, v1::CheckInRequest())->prompts_waiting());
}

TEST_F(FlowTest, ANoCancelsTheAssignment) {
  world_.AddHome("gw-1", {"ecu-1"});
  const std::string name = Launch();
  ASSERT_TRUE(Reaches(name, common::v1::UPDATE_PHASE_AWAITING_CONSENT));
  Answer("gw-1", consent::v1::DECISION_DENIED);
  ASSERT_TRUE(Reaches(name, common::v1::UPDATE_PHASE_CANCELLED));
  EXPECT_EQ(Only(name).failure_reason(), common::v1::FAILURE_REASON_USER_REJECTED);
  EXPECT_EQ(Get(name).state(), v1::Rollout::STATE_COMPLETED);
  EXPECT_FALSE(DirectorNames("gw-1"));
}

TEST_F(FlowTest, WhatWasPutOffIsAskedAgain) {
  world_.AddHome("gw-1", {"ecu-1"});
  const std::string name = Launch();
  ASSERT_TRUE(Reaches(name, common::v1::UPDATE_PHASE_AWAITING_CONSENT));
  Answer("gw-1", consent::v1::DECISION_DEFERRED, absl::Seconds(2));
  ASSERT_TRUE(Reaches(name, common::v1::UPDATE_PHASE_DEFERRED));
  EXPECT_FALSE(DirectorNames("gw-1"));
  ASSERT_TRUE(Reaches(name, common::v1::UPDATE_PHASE_AWAITING_CONSENT));
  ASSERT_TRUE(Eventually([&] { return Prompts("gw-1").size() == 1; }));
  Answer("gw-1", consent::v1::DECISION_GRANTED);
  EXPECT_TRUE(IsLetIn(name));
}

TEST_F(FlowTest, AWithdrawalBeforeUpdatingTakesTheUpdateBack) {
  world_.AddHome("gw-1", {"ecu-1"});
  const std::string name = Launch();
  ASSERT_TRUE(Reaches(name, common::v1::UPDATE_PHASE_AWAITING_CONSENT));
  const consent::v1::ConsentRecord record = Answer("gw-1", consent::v1::DECISION_GRANTED);
  ASSERT_TRUE(IsLetIn(name));
  ASSERT_TRUE(DirectorNames("gw-1"));
  Withdraw("gw-1", record.name());
  ASSERT_TRUE(Reaches(name, common::v1::UPDATE_PHASE_CANCELLED));
  EXPECT_FALSE(DirectorNames("gw-1"));
}

TEST_F(FlowTest, AWithdrawalAfterUpdatingComesTooLate) {
  Home& home = world_.AddHome("gw-1", {"ecu-1"});
  const std::string name = Launch();
  ASSERT_TRUE(Reaches(name, common::v1::UPDATE_PHASE_AWAITING_CONSENT));
  const consent::v1::ConsentRecord record = Answer("gw-1", consent::v1::DECISION_GRANTED);
  ASSERT_TRUE(IsLetIn(name));
  ReportUpdating("gw-1", "ecu-1");
  Withdraw("gw-1", record.name());
  World::Install(home.ecus["ecu-1"], image_);
  ASSERT_OK(world_.Report(home));
  EXPECT_TRUE(Reaches(name, common::v1::UPDATE_PHASE_SUCCEEDED));
}

TEST_F(FlowTest, AnAbortClosesTheQuestionsThatAreOpen) {
  world_.AddHome("gw-1", {"ecu-1"});
  const std::string name = Launch();
  ASSERT_TRUE(Reaches(name, common::v1::UPDATE_PHASE_AWAITING_CONSENT));
  EXPECT_THAT(Prompts("gw-1"), SizeIs(1));
  v1::AbortRolloutRequest request;
  request.set_name(name);
  request.set_request_id(crypto::Uuid());
  ASSERT_OK(Call(*world_.As(kOperator), &Stub::AbortRollout, request));
  EXPECT_TRUE(Eventually([&] { return Prompts("gw-1").empty(); }));
}

// What users decide while the service is away is taken afterwards, once.
TEST_F(FlowTest, DecisionsMadeWhileTheServiceIsAwayAreTakenWhenItComesBack) {
  world_.AddHome("gw-1", {"ecu-1"});
  const std::string name = Launch();
  ASSERT_TRUE(Reaches(name, common::v1::UPDATE_PHASE_AWAITING_CONSENT));
  world_.Kill();
  const consent::v1::ConsentRecord record = Answer("gw-1", consent::v1::DECISION_GRANTED);
  ASSERT_TRUE(IsLetIn(name));
  const std::string admitted = Only(name).admit_time().ShortDebugString();
  world_.Kill();
  Withdraw("gw-1", record.name());
  ASSERT_TRUE(Reaches(name, common::v1::UPDATE_PHASE_CANCELLED));
  EXPECT_EQ(Only(name).admit_time().ShortDebugString(), admitted);
  EXPECT_EQ(Get(name).counts().total(), 1);
}

// With liaison too: from the manufacturer's announcement to the completed update.
TEST_F(FlowTest, AnAnnouncedReleaseIsRolledOut) {
  world_.StartLiaison();
  world_.Kill();  // the next one knows where liaison is
  Home& home = world_.AddHome("gw-1", {"ecu-1"});
  AddPolicy("gw-1");
  ASSERT_OK_AND_ASSIGN(const std::string release, world_.Announce(image_));
  v1::CreateRolloutRequest request;
  request.mutable_rollout()->set_display_name("May patches");
  request.mutable_rollout()->add_releases(release);
  request.mutable_rollout()->set_filter("model = \"T1\"");
  request.set_request_id(crypto::Uuid());
  ASSERT_OK_AND_ASSIGN(const v1::Rollout created, Call(*world_.As(kOperator), &Stub::CreateRollout, request));
  EXPECT_EQ(created.created_by(), "operator/alice");
  EXPECT_EQ(created.assignment_timeout().seconds(), 24 * 3600);
  ASSERT_OK_AND_ASSIGN(const v1::Rollout again, Call(*world_.As(kOperator), &Stub::CreateRollout, request));
  EXPECT_EQ(again.name(), created.name()) << "the same request twice is done once";

  v1::CreateRolloutRequest wrong = request;
  wrong.set_request_id(crypto::Uuid());
  wrong.mutable_rollout()->set_filter("colour = \"red\"");
  EXPECT_THAT(Call(*world_.As(kOperator), &Stub::CreateRollout, wrong),
              StatusIs(absl::StatusCode::kInvalidArgument, "FILTER_INVALID"));
  wrong.mutable_rollout()->set_releases(0, "manufacturers/acme/releases/none");
  EXPECT_THAT(Call(*world_.As(kOperator), &Stub::CreateRollout, wrong),
              StatusIs(absl::StatusCode::kInvalidArgument, "RELEASE_UNKNOWN"));

  ASSERT_TRUE(Eventually([&] { return Get(created.name()).state() == v1::Rollout::STATE_READY; }));
  v1::StartRolloutRequest start;
  start.set_name(created.name());
  start.set_etag(created.etag());
  start.set_request_id(crypto::Uuid());
  EXPECT_THAT(Call(*world_.As(kOperator), &Stub::StartRollout, start),
              StatusIs(absl::StatusCode::kAborted, "ETAG_MISMATCH"))
      << "it has changed since it was made";
  start.set_etag(Get(created.name()).etag());
  start.set_request_id(crypto::Uuid());
  ASSERT_OK(Call(*world_.As(kOperator), &Stub::StartRollout, start));
  ASSERT_TRUE(IsLetIn(created.name()));
  EXPECT_EQ(Only(created.name()).release(), release);
  ASSERT_TRUE(DirectorNames("gw-1"));
  World::Install(home.ecus["ecu-1"], image_);
  ASSERT_OK(world_.Report(home));
  EXPECT_TRUE(Reaches(created.name(), common::v1::UPDATE_PHASE_SUCCEEDED));
}

// A release that the user could not be told about is nothing to be launched silently.
TEST_F(FlowTest, ARolloutWhoseNoticeIsIncompleteIsPausedWithTheReason) {
  world_.AddHome("gw-1", {"ecu-1"});
  Rollout rollout;
  rollout.id = crypto::RandomHex(8);
  rollout.spec.display_name = "Incomplete";
  rollout.created_by = "operator/alice";
  rollout.create_time = SystemClock().Now();
  Release release = World::ReleaseOf(image_);
  common::v1::ReleaseInfo info = World::InfoOf(image_);
  info.mutable_notices(0)->clear_instructions();
  release.info = info.SerializeAsString();
  ASSERT_OK(world_.rollouts().Create(
      rollout, {release},
      {"operator/alice", "Create", crypto::Uuid(), "", [](const Rollout&) { return std::string(); }}));
  const std::string name = absl::StrCat("rollouts/", rollout.id);
  ASSERT_TRUE(Eventually([&] { return Get(name).state() == v1::Rollout::STATE_READY; }));
  v1::StartRolloutRequest request;
  request.set_name(name);
  request.set_request_id(crypto::Uuid());
  ASSERT_OK(Call(*world_.As(kOperator), &Stub::StartRollout, request));
  ASSERT_TRUE(Eventually([&] { return Get(name).state() == v1::Rollout::STATE_PAUSED; }));
  EXPECT_THAT(Get(name).state_reason(), ::testing::HasSubstr("Consent cannot be asked for"));
}

}  // namespace
}  // namespace countersign::rollout
