// The service as its callers see it: over mutual TLS, on a real PostgreSQL, with the real inventory and
// package store beside it. Decisions of users are put into the database as the consent service's answers
// would be; flow_test.cc has the services that decide.
#include "services/rollout/app.h"

#include <grpcpp/grpcpp.h>

#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/crypto/digest.h"
#include "common/crypto/random.h"
#include "common/db/database.h"
#include "common/db/sql.h"
#include "common/testing/status_matchers.h"
#include "gmock/gmock.h"
#include "google/protobuf/descriptor.h"
#include "gtest/gtest.h"
#include "services/rollout/api/roles.h"
#include "services/rollout/testing/world.h"

namespace countersign::rollout {
namespace {

using package_store::testing::ImageSpec;
using rpc::Role;
using testing::Call;
using ::testing::ElementsAre;
using testing::Eventually;
using testing::Gateway;
using ::testing::HasSubstr;
using testing::Home;
using ::testing::IsEmpty;
using testing::kOperator;
using testing::Replica;
using ::testing::SizeIs;
using testing::Stub;
using testing::World;

class AppTest : public ::testing::Test {
 protected:
  // A rollout of `releases`, as CreateRollout makes it once liaison has named them. Returns its name.
  std::string Create(const std::vector<ImageSpec>& images, RolloutSpec spec = {}) {
    Rollout rollout;
    rollout.id = crypto::RandomHex(8);
    rollout.spec = std::move(spec);
    rollout.spec.display_name = "Test";
    rollout.created_by = "operator/alice";
    rollout.create_time = SystemClock().Now();
    std::vector<Release> releases;
    for (const ImageSpec& image : images) releases.push_back(World::ReleaseOf(image));
    EXPECT_OK(world_.rollouts().Create(
        rollout, releases,
        {"operator/alice", "Create", crypto::Uuid(), "", [](const Rollout&) { return std::string(); }}));
    return absl::StrCat("rollouts/", rollout.id);
  }

  absl::StatusOr<v1::Rollout> Get(const std::string& name) {
    v1::GetRolloutRequest request;
    request.set_name(name);
    return Call(*world_.As(kOperator), &Stub::GetRollout, request);
  }

  bool Reaches(const std::string& name, v1::Rollout::State state) {
    return Eventually([&] { return Get(name)->state() == state; });
  }

  absl::StatusOr<v1::Rollout> Start(const std::string& name, const std::string& etag = "") {
    v1::StartRolloutRequest request;
    request.set_name(name);
    request.set_etag(etag);
    request.set_request_id(crypto::Uuid());
    return Call(*world_.As(kOperator), &Stub::StartRollout, request);
  }

  template <typename VerbRequest>
  absl::StatusOr<v1::Rollout> Verb(grpc::Status (Stub::*method)(grpc::ClientContext*, const VerbRequest&,
                                                                v1::Rollout*),
                                   const std::string& name) {
    VerbRequest request;
    request.set_name(name);
    request.set_request_id(crypto::Uuid());
    return Call(*world_.As(kOperator), method, request);
  }

  std::vector<v1::Assignment> Assignments(const std::string& parent, const rpc::Identity& as = kOperator) {
    v1::ListAssignmentsRequest request;
    request.set_parent(parent);
    request.set_page_size(2);
    std::vector<v1::Assignment> all;
    do {
      const auto page = Call(*world_.As(as), &Stub::ListAssignments, request);
      EXPECT_OK(page);
      if (!page.ok()) break;
      all.insert(all.end(), page->assignments().begin(), page->assignments().end());
      request.set_page_token(page->next_page_token());
    } while (!request.page_token().empty());
    return all;
  }

  common::v1::UpdatePhase PhaseOf(const std::string& serial) {
    for (const v1::Assignment& assignment : Assignments("rollouts/-")) {
      if (assignment.ecu_serial() == serial) return assignment.phase();
    }
    return common::v1::UPDATE_PHASE_UNSPECIFIED;
  }

  // What the consent service would answer for everything that waits in the rollout.
  void GrantAll(const std::string& name, const ImageSpec& image, absl::Duration validity = absl::Hours(1)) {
    const auto views = world_.rollouts().Assignments(name.substr(9), std::nullopt, 1000, std::nullopt);
    ASSERT_OK(views);
    std::vector<ConsentDecision> decisions;
    for (const AssignmentView& view : *views) {
      const Assignment& assignment = view.assignment;
      if (!IsWaiting(assignment.state)) continue;
      decisions.push_back(
          {assignment.rollout, assignment.gateway, assignment.ecu_serial, AssignmentEvent::kConsentGranted,
           absl::StrCat("gateways/", assignment.gateway, "/records/record-", assignment.ecu_serial), "user-1",
           world_.ConsentFor(assignment, World::ReleaseOf(image), validity), SystemClock().Now() + validity});
    }
    ASSERT_OK(world_.rollouts().Decide(decisions));
  }

  // Planned, launched, consented and let in.
  std::string Underway(const ImageSpec& image, RolloutSpec spec = {}) {
    const std::string name = Create({image}, std::move(spec));
    EXPECT_TRUE(Reaches(name, v1::Rollout::STATE_READY));
    EXPECT_OK(Start(name));
    GrantAll(name, image);
    EXPECT_TRUE(Eventually([&] { return Get(name)->counts().active() > 0; }));
    return name;
  }

  absl::StatusOr<std::vector<bool>> Progress(const std::string& gateway, const std::string& serial,
                                             const ImageSpec& image, common::v1::UpdatePhase phase,
                                             common::v1::FailureReason reason = {}) {
    v1::ReportProgressRequest request;
    v1::Progress& progress = *request.add_progress();
    progress.set_ecu_serial(serial);
    progress.set_sha256(crypto::Sha256Hex(image.content));
    progress.set_phase(phase);
    progress.set_failure_reason(reason);
    const auto response = Call(*world_.As(Gateway(gateway)), &Stub::ReportProgress, request);
    if (!response.ok()) return response.status();
    return std::vector<bool>(response->accepted().begin(), response->accepted().end());
  }

  World world_;
};

TEST_F(AppTest, EachMethodIsClosedToEveryRoleThatIsNotInItsRow) {
  const google::protobuf::ServiceDescriptor* service =
      google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(
          "countersign.rollout.v1.RolloutService");
  ASSERT_NE(service, nullptr);
  EXPECT_OK(RolloutRoles().CheckComplete());
  const std::set<std::string> gateways = {"ListAssignments", "CheckIn", "GetDirectorMetadata", "StreamHints",
                                          "ReportProgress"};
  const std::set<std::string> readers = {"GetRollout", "ListRollouts", "ListAssignments"};
  const std::set<std::string> feeds = {"WatchFailures"};
  for (int i = 0; i < service->method_count(); ++i) {
    const std::string& method = service->method(i)->name();
    for (const Role role : rpc::kAllRoles) {
      const bool reads = (readers.contains(method) && (role == Role::kAuthority || role == Role::kService)) ||
                         (feeds.contains(method) && role == Role::kService);
      const bool runs =
          role == Role::kOperator && !feeds.contains(method) &&
          (readers.contains(method) || !gateways.contains(method) || method == "GetDirectorMetadata");
      const bool own = role == Role::kGateway && gateways.contains(method);
      EXPECT_EQ(RolloutRoles().Allows(method, {role, "someone"}), reads || runs || own)
          << method << " " << rpc::RoleName(role);
    }
  }
  EXPECT_THAT(Call(*world_.As(Gateway("gw-1")), &Stub::StartRollout, v1::StartRolloutRequest()),
              StatusIs(absl::StatusCode::kPermissionDenied, "ROLE_NOT_ALLOWED"));
  EXPECT_THAT(Call(*world_.As(kOperator), &Stub::CheckIn, v1::CheckInRequest()),
              StatusIs(absl::StatusCode::kPermissionDenied, "ROLE_NOT_ALLOWED"));
}

TEST_F(AppTest, CreateRolloutSaysWhatIsWrongAndWhoCannotBeAsked) {
  v1::CreateRolloutRequest request;
  request.mutable_rollout()->set_display_name("May");
  request.mutable_rollout()->add_releases("manufacturers/acme/releases/thermostat-2.0.2");
  EXPECT_THAT(Call(*world_.As(kOperator), &Stub::CreateRollout, request),
              StatusIs(absl::StatusCode::kInvalidArgument, "REQUEST_ID_INVALID"));
  request.set_request_id(crypto::Uuid());
  EXPECT_THAT(Call(*world_.As(kOperator), &Stub::CreateRollout, request),
              StatusIs(absl::StatusCode::kUnavailable, "LIAISON_UNAVAILABLE"));
  request.mutable_rollout()->set_display_name("");
  EXPECT_THAT(Call(*world_.As(kOperator), &Stub::CreateRollout, request),
              StatusIs(absl::StatusCode::kInvalidArgument, "ROLLOUT_INVALID"));
}

TEST_F(AppTest, DirectorRootsAreVerifiedBeforeTheyArePublished) {
  const auto publish = [&](const std::string& metadata) {
    v1::PublishDirectorRootRequest request;
    request.set_metadata(metadata);
    const auto response = Call(*world_.As(kOperator), &Stub::PublishDirectorRoot, request);
    return response.ok() ? absl::StatusOr<int64_t>(response->version()) : response.status();
  };
  const auto signed_root = [&](const trust::Root& root) {
    trust::Envelope envelope = root.ToEnvelope();
    EXPECT_OK(envelope.Sign(world_.director_root_key));
    return envelope.Serialise();
  };
  const trust::Root good = *trust::Root::Parse(*trust::Envelope::Parse(world_.DirectorRoot()));
  EXPECT_THAT(publish("{}"), StatusIs(absl::StatusCode::kInvalidArgument, "METADATA_MALFORMED"));
  EXPECT_THAT(publish(good.ToEnvelope().Serialise()),
              StatusIs(absl::StatusCode::kInvalidArgument, "THRESHOLD_NOT_MET"));
  trust::Root bad = good;
  bad.expires = SystemClock().Now() - absl::Hours(1);
  EXPECT_THAT(publish(signed_root(bad)), StatusIs(absl::StatusCode::kInvalidArgument, "EXPIRED_METADATA"));
  bad = good;
  bad.roles["targets"] = good.roles.at("snapshot");
  EXPECT_THAT(publish(signed_root(bad)), StatusIs(absl::StatusCode::kInvalidArgument, "ONLINE_KEY_MISSING"));
  EXPECT_THAT(publish(world_.DirectorRoot(2)),
              StatusIs(absl::StatusCode::kFailedPrecondition, "VERSION_NOT_NEXT"));
  EXPECT_THAT(publish(world_.DirectorRoot(1)), IsOkAndHolds(1));
  EXPECT_THAT(publish(world_.DirectorRoot(3)),
              StatusIs(absl::StatusCode::kFailedPrecondition, "VERSION_NOT_NEXT"));
  EXPECT_THAT(publish(world_.DirectorRoot(2)), IsOkAndHolds(2));
}

TEST_F(AppTest, AGatewayWithoutAssignmentsGetsSignedEmptyTargets) {
  v1::GetDirectorMetadataRequest request;
  request.set_file_name("timestamp.json");
  EXPECT_THAT(Call(*world_.As(Gateway("gw-1")), &Stub::GetDirectorMetadata, request),
              StatusIs(absl::StatusCode::kNotFound, "NO_ROOT"));
  world_.PublishDirectorRoot();
  ASSERT_OK_AND_ASSIGN(const trust::Targets targets, world_.DirectorTargets("gw-1"));
  EXPECT_THAT(targets.targets, IsEmpty());
  EXPECT_EQ(targets.version, 1);
  // Nothing changed, so nothing is signed again.
  ASSERT_OK_AND_ASSIGN(const trust::Targets again, world_.DirectorTargets("gw-1"));
  EXPECT_EQ(again.version, 1);
  for (const char* name :
       {"2.root.json", "2.targets.json", "1.acme.json", "01.root.json", "root.json", "x"}) {
    request.set_file_name(name);
    EXPECT_THAT(Call(*world_.As(Gateway("gw-1")), &Stub::GetDirectorMetadata, request),
                StatusIs(absl::StatusCode::kNotFound, "FILE_UNKNOWN"))
        << name;
  }
  request.set_file_name(std::string(129, 'x'));
  EXPECT_THAT(Call(*world_.As(Gateway("gw-1")), &Stub::GetDirectorMetadata, request),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(AppTest, ANewRootMakesTheDirectorSignAnew) {
  world_.PublishDirectorRoot();
  ASSERT_OK(world_.DirectorTargets("gw-1"));
  v1::PublishDirectorRootRequest request;
  request.set_metadata(world_.DirectorRoot(2));
  ASSERT_OK(Call(*world_.As(kOperator), &Stub::PublishDirectorRoot, request));
  ASSERT_OK_AND_ASSIGN(const trust::Targets targets, world_.DirectorTargets("gw-1"));
  EXPECT_EQ(targets.version, 2);
}

// The whole way of one rollout. HOME-6, HOME-8, FOTA-H
TEST_F(AppTest, ARolloutGoesFromPlanToSignedCompletion) {
  const ImageSpec image = world_.PublishImage(2);
  Home& home = world_.AddHome("gw-1", {"ecu-1", "ecu-constrained"});
  Home& other = world_.AddHome("gw-2", {"ecu-2"});
  world_.PublishDirectorRoot();
  const std::string name = Create({image});
  ASSERT_TRUE(Reaches(name, v1::Rollout::STATE_READY));
  EXPECT_EQ(Get(name)->counts().total(), 3);
  ASSERT_OK_AND_ASSIGN(const trust::Targets before, world_.DirectorTargets("gw-1"));
  EXPECT_THAT(before.targets, IsEmpty()) << "nothing before it is launched";

  ASSERT_OK_AND_ASSIGN(const v1::Rollout started, Start(name, Get(name)->etag()));
  EXPECT_EQ(started.launched_by(), "operator/alice");
  GrantAll(name, image);
  ASSERT_TRUE(Eventually([&] { return Get(name)->counts().active() == 3; }));
  v1::CheckInRequest check_in;
  check_in.set_director_targets_version(before.version);
  ASSERT_OK_AND_ASSIGN(const v1::CheckInResponse told,
                       Call(*world_.As(Gateway("gw-1")), &Stub::CheckIn, check_in));
  EXPECT_TRUE(told.metadata_available());
  EXPECT_GT(told.next_check_in().seconds(), 0);

  ASSERT_OK_AND_ASSIGN(const trust::Targets targets, world_.DirectorTargets("gw-1"));
  ASSERT_THAT(targets.targets, SizeIs(1));
  const trust::TargetFile& target = targets.targets.at(image.path);
  EXPECT_EQ(target.sha256, crypto::Sha256Hex(image.content));
  ASSERT_THAT(target.custom.ecu_identifiers, SizeIs(2));
  EXPECT_EQ(target.custom.ecu_identifiers.at("ecu-1").consent_record_id, "record-ecu-1");

  EXPECT_THAT(Progress("gw-1", "ecu-1", image, common::v1::UPDATE_PHASE_DOWNLOADING),
              IsOkAndHolds(ElementsAre(true)));
  EXPECT_THAT(Progress("gw-1", "ecu-1", image, common::v1::UPDATE_PHASE_VERIFYING),
              IsOkAndHolds(ElementsAre(true)));
  EXPECT_THAT(Progress("gw-1", "ecu-1", image, common::v1::UPDATE_PHASE_UPDATING),
              IsOkAndHolds(ElementsAre(false)))
      << "a phase never goes back";
  EXPECT_THAT(Progress("gw-1", "ecu-1", image, common::v1::UPDATE_PHASE_SUCCEEDED),
              StatusIs(absl::StatusCode::kInvalidArgument, "PROGRESS_INVALID"));

  // A report of the old image completes nothing, nor one that does not prove itself.
  ASSERT_OK(world_.Report(home));
  World::Install(home.ecus["ecu-1"], image);
  ASSERT_OK(world_.Report(home, /*break_proofs=*/true));
  EXPECT_EQ(PhaseOf("ecu-1"), common::v1::UPDATE_PHASE_VERIFYING);
  World::Install(home.ecus["ecu-constrained"], image);
  ASSERT_OK(world_.Report(home));
  ASSERT_TRUE(Eventually([&] { return Get(name)->counts().succeeded() == 2; }));
  World::Install(other.ecus["ecu-2"], image);
  ASSERT_OK(world_.Report(other));
  ASSERT_TRUE(Reaches(name, v1::Rollout::STATE_COMPLETED)) << "without a single progress report of gw-2";

  for (const v1::Assignment& assignment : Assignments(name)) {
    EXPECT_EQ(assignment.phase(), common::v1::UPDATE_PHASE_SUCCEEDED);
    EXPECT_EQ(assignment.proxied(), assignment.ecu_serial() == "ecu-constrained");
    EXPECT_EQ(assignment.consented_by(), "user-1");
    EXPECT_EQ(assignment.approved_by(), "authority/ma");
    EXPECT_THAT(assignment.manufacturer_key_ids(), SizeIs(1));
    EXPECT_EQ(assignment.from_version(), "1.0.0");
    EXPECT_EQ(assignment.to_version(), image.version);
  }
  ASSERT_OK_AND_ASSIGN(const trust::Targets after, world_.DirectorTargets("gw-1"));
  EXPECT_THAT(after.targets, IsEmpty()) << "an entry ends with its assignment";
  EXPECT_GT(after.version, targets.version);
  EXPECT_TRUE(Eventually([&] {
    return world_.replica()
               .http("/metrics")
               .find(absl::StrCat("countersign_rollout_assignments{phase=\"SUCCEEDED\",rollout=\"",
                                  name.substr(9), "\"} 3")) != std::string::npos;
  }));
  EXPECT_THAT(world_.replica().http("/metrics"),
              HasSubstr("countersign_rollout_assignments_ended_total{phase=\"SUCCEEDED\",reason=\"NONE\"}"));
}

// HOME-6: only what the Management Authority approved is launched.
TEST_F(AppTest, WhatIsNotApprovedAsPromisedIsNotLaunched) {
  world_.PublishDirectorRoot();
  world_.AddHome("gw-1", {"ecu-1"});
  const ImageSpec published = world_.PublishImage(2);
  const auto refused = [&](const ImageSpec& image) {
    const std::string name = Create({image});
    ASSERT_TRUE(Reaches(name, v1::Rollout::STATE_READY));
    EXPECT_THAT(Start(name), StatusIs(absl::StatusCode::kFailedPrecondition, "NOT_APPROVED"));
    ASSERT_OK(Verb(&Stub::AbortRollout, name));
  };
  refused(World::Image(3));
  ImageSpec other = published;
  other.content = "other bytes";
  refused(other);
  other = published;
  other.release_counter = 9;
  refused(other);
  other = published;
  other.hardware_ids = {"t1-a", "t9"};
  refused(other);
}

// PLUS-1, PLUS-2: the rows of the database say yes, the Director's signer says no.
TEST_F(AppTest, AForgedConsentInTheDatabaseIsNotSignedByTheDirector) {
  const ImageSpec image = world_.PublishImage(2);
  world_.AddHome("gw-1", {"ecu-1", "ecu-2"});
  world_.PublishDirectorRoot();
  const std::string name = Create({image});
  ASSERT_TRUE(Reaches(name, v1::Rollout::STATE_READY));
  ASSERT_OK(Start(name));
  ASSERT_OK_AND_ASSIGN(const auto views,
                       world_.rollouts().Assignments(name.substr(9), std::nullopt, 10, std::nullopt));
  ASSERT_THAT(views, SizeIs(2));
  // Both get the consent that was given for the first one.
  const std::string record = world_.ConsentFor(views[0].assignment, World::ReleaseOf(image), absl::Hours(1));
  for (const AssignmentView& view : views) {
    ASSERT_OK(world_.rollouts().Decide(
        {{view.assignment.rollout, view.assignment.gateway, view.assignment.ecu_serial,
          AssignmentEvent::kConsentGranted, "gateways/gw-1/records/r", "user-1", record, std::nullopt}}));
  }
  ASSERT_TRUE(Eventually([&] { return Get(name)->counts().active() == 2; }));
  ASSERT_OK_AND_ASSIGN(const trust::Targets targets, world_.DirectorTargets("gw-1"));
  ASSERT_THAT(targets.targets, SizeIs(1));
  EXPECT_THAT(targets.targets.at(image.path).custom.ecu_identifiers, SizeIs(1));
  EXPECT_TRUE(targets.targets.at(image.path).custom.ecu_identifiers.contains(views[0].assignment.ecu_serial));
  EXPECT_EQ(PhaseOf(views[1].assignment.ecu_serial), common::v1::UPDATE_PHASE_FAILED);
  EXPECT_THAT(world_.replica().http("/metrics"),
              HasSubstr("countersign_rollout_director_refusals_total{reason=\"CONSENT_MISMATCH\"} 1"));
}

// PLUS-3: a store that publishes a package beside the log.
TEST_F(AppTest, APackageThatIsNotProvenToBeInTheLogIsNotSignedByTheDirector) {
  const ImageSpec image = world_.PublishImage(2);
  world_.AddHome("gw-1", {"ecu-1"});
  world_.PublishDirectorRoot();
  db::Database store({.conninfo = world_.store.config().database});
  ASSERT_OK(store.RunInTransaction("Hide", [](db::Transaction& tx) -> absl::Status {
    tx.exec("UPDATE packages SET log_index = NULL");
    return absl::OkStatus();
  }));
  const std::string name = Underway(image);
  ASSERT_OK_AND_ASSIGN(const trust::Targets targets, world_.DirectorTargets("gw-1"));
  EXPECT_THAT(targets.targets, IsEmpty());
  EXPECT_EQ(PhaseOf("ecu-1"), common::v1::UPDATE_PHASE_FAILED);
  EXPECT_EQ(Assignments(name)[0].failure_reason(), common::v1::FAILURE_REASON_NOT_APPROVED);
  EXPECT_THAT(world_.replica().http("/metrics"),
              HasSubstr("countersign_rollout_director_refusals_total{reason=\"NOT_IN_LOG\"} 1"));
}

// PLUS-2: withdrawn until installation starts.
TEST_F(AppTest, AWithdrawnConsentTakesTheEntryOutOfTheDirectorsTargets) {
  const ImageSpec image = world_.PublishImage(2);
  world_.AddHome("gw-1", {"ecu-1"});
  world_.PublishDirectorRoot();
  const std::string name = Underway(image);
  ASSERT_OK_AND_ASSIGN(const trust::Targets before, world_.DirectorTargets("gw-1"));
  EXPECT_THAT(before.targets, SizeIs(1));
  ASSERT_OK(world_.rollouts().Decide({{name.substr(9), "gw-1", "ecu-1", AssignmentEvent::kConsentWithdrawn,
                                       "gateways/gw-1/records/w", "user-1", "{}", std::nullopt}}));
  ASSERT_OK_AND_ASSIGN(const trust::Targets after, world_.DirectorTargets("gw-1"));
  EXPECT_THAT(after.targets, IsEmpty());
  EXPECT_EQ(PhaseOf("ecu-1"), common::v1::UPDATE_PHASE_CANCELLED);
  EXPECT_EQ(Assignments(name)[0].failure_reason(), common::v1::FAILURE_REASON_USER_REJECTED);
}

// FOTA-B: firmware reaches only the right gateway.
TEST_F(AppTest, AGatewayHasItsOwnFilesAssignmentsAndProgressOnly) {
  const ImageSpec image = world_.PublishImage(2);
  world_.AddHome("gw-1", {"ecu-1"});
  world_.AddHome("gw-2", {});
  world_.PublishDirectorRoot();
  const std::string name = Underway(image);
  ASSERT_OK_AND_ASSIGN(const trust::Targets own, world_.DirectorTargets("gw-1"));
  EXPECT_THAT(own.targets, SizeIs(1));
  ASSERT_OK_AND_ASSIGN(const trust::Targets others, world_.DirectorTargets("gw-2"));
  EXPECT_THAT(others.targets, IsEmpty());
  v1::GetDirectorMetadataRequest request;
  request.set_file_name(absl::StrCat(own.version, ".targets.json"));
  const auto mine = Call(*world_.As(Gateway("gw-1")), &Stub::GetDirectorMetadata, request);
  const auto theirs = Call(*world_.As(Gateway("gw-2")), &Stub::GetDirectorMetadata, request);
  // SC-ALT: an operator puts together what a gateway installs without network, and says for which.
  EXPECT_THAT(Call(*world_.As(kOperator), &Stub::GetDirectorMetadata, request),
              StatusIs(absl::StatusCode::kInvalidArgument, "GATEWAY_MISSING"));
  request.set_gateway("gw-1");
  const auto named = Call(*world_.As(kOperator), &Stub::GetDirectorMetadata, request);
  ASSERT_OK(named);
  EXPECT_EQ(named->content(), mine->content());
  EXPECT_THAT(Call(*world_.As(Gateway("gw-2")), &Stub::GetDirectorMetadata, request),
              StatusIs(absl::StatusCode::kPermissionDenied, "GATEWAY_MISMATCH"));
  ASSERT_OK(mine);
  if (theirs.ok()) {
    EXPECT_NE(mine->content(), theirs->content());
  }

  EXPECT_THAT(Assignments(name, Gateway("gw-1")), SizeIs(1));
  EXPECT_THAT(Assignments(name, Gateway("gw-2")), IsEmpty());
  EXPECT_THAT(Progress("gw-2", "ecu-1", image, common::v1::UPDATE_PHASE_UPDATING),
              IsOkAndHolds(ElementsAre(false)));
  EXPECT_EQ(PhaseOf("ecu-1"), common::v1::UPDATE_PHASE_IDLE);
}

TEST_F(AppTest, AFailureIsCountedWithItsReasonAndPausesTheRollout) {
  const ImageSpec image = world_.PublishImage(2);
  world_.AddHome("gw-1", {"ecu-1", "ecu-2", "ecu-3"});
  world_.PublishDirectorRoot();
  const std::string name = Underway(image, {.max_concurrent = 1, .max_failures = 1});
  const std::string serial = [&] {
    for (const v1::Assignment& assignment : Assignments(name)) {
      if (assignment.has_admit_time()) return assignment.ecu_serial();
    }
    return std::string();
  }();
  EXPECT_THAT(Progress("gw-1", serial, image, common::v1::UPDATE_PHASE_ROLLED_BACK),
              StatusIs(absl::StatusCode::kInvalidArgument, "PROGRESS_INVALID"))
      << "a failure has a reason";
  EXPECT_THAT(Progress("gw-1", serial, image, common::v1::UPDATE_PHASE_ROLLED_BACK,
                       common::v1::FAILURE_REASON_UPDATE_FAILED),
              IsOkAndHolds(ElementsAre(true)));
  ASSERT_OK_AND_ASSIGN(const v1::Rollout paused, Get(name));
  EXPECT_EQ(paused.state(), v1::Rollout::STATE_PAUSED);
  EXPECT_NE(paused.state_reason(), "");
  EXPECT_EQ(paused.counts().failed(), 1);
  EXPECT_EQ(paused.counts().active(), 0) << "nobody else was let in";
  ASSERT_OK(Verb(&Stub::ResumeRollout, name));
  EXPECT_TRUE(Eventually([&] { return Get(name)->counts().active() == 1; }));
  ASSERT_OK(Verb(&Stub::PauseRollout, name));
  EXPECT_THAT(Verb(&Stub::PauseRollout, name),
              StatusIs(absl::StatusCode::kFailedPrecondition, "WRONG_STATE"));
  ASSERT_OK_AND_ASSIGN(const v1::Rollout aborted, Verb(&Stub::AbortRollout, name));
  EXPECT_EQ(aborted.state(), v1::Rollout::STATE_ABORTED);
  EXPECT_EQ(aborted.counts().cancelled(), 2);
}

// FOTA-P1, HOME-9
TEST_F(AppTest, TheInventoryCountsTheFailuresOfEachComponentWithTheirReasons) {
  const ImageSpec image = world_.PublishImage(2);
  world_.AddHome("gw-1", {"ecu-1", "ecu-2"});
  world_.PublishDirectorRoot();
  world_.StartFollowingInventory();
  const std::string name = Underway(image, {.max_concurrent = 2, .max_failures = 5});
  EXPECT_THAT(Progress("gw-1", "ecu-1", image, common::v1::UPDATE_PHASE_FAILED,
                       common::v1::FAILURE_REASON_OUT_OF_MEMORY),
              IsOkAndHolds(ElementsAre(true)));
  const auto stub = world_.InventoryAs(kOperator);
  const auto find = [&](const std::string& serial) {
    inventory::v1::ListComponentsRequest request;
    request.set_filter(absl::StrCat("ecu_serial = \"", serial, "\""));
    return Call(*stub, &inventory::v1::InventoryService::Stub::ListComponents, request)->components(0);
  };
  ASSERT_TRUE(Eventually([&] { return find("ecu-1").failure_count() == 1; }));
  const inventory::v1::Component component = find("ecu-1");
  ASSERT_EQ(component.last_errors_size(), 1);
  EXPECT_EQ(component.last_errors(0).phase(), "FAILED");
  EXPECT_EQ(component.last_errors(0).reason(), "OUT_OF_MEMORY");
  EXPECT_EQ(component.last_errors(0).version(), image.version);
  EXPECT_EQ(component.last_errors(0).rollout(), name);
  EXPECT_EQ(find("ecu-2").failure_count(), 0);

  inventory::v1::ListComponentsRequest request;
  request.set_filter("failure_count > 0");
  EXPECT_EQ(Call(*stub, &inventory::v1::InventoryService::Stub::ListComponents, request)->components_size(),
            1);
}

// FOTA-R3
TEST_F(AppTest, AnOrderToStopReachesTheGatewaySignedAndIsConfirmedBySignedReport) {
  using InventoryStub = inventory::v1::InventoryService::Stub;
  Home& home = world_.AddHome("gw-1", {"ecu-1", "ecu-2"});
  world_.PublishDirectorRoot();
  const auto quarantined = [&](const std::set<std::string>& serials) {
    return Eventually([&] {
      const auto targets = world_.DirectorTargets("gw-1");
      return targets.ok() && targets->quarantine == serials;
    });
  };
  ASSERT_TRUE(quarantined({}));
  const auto stub = world_.InventoryAs(kOperator);
  inventory::v1::QuarantineComponentRequest order;
  order.set_name("gateways/gw-1/components/ecu-1");
  order.set_reason("it burns");
  order.set_request_id(crypto::Uuid());
  ASSERT_OK(Call(*stub, &InventoryStub::QuarantineComponent, order));
  ASSERT_TRUE(quarantined({"ecu-1"})) << "there is no rollout, and the order comes all the same";

  home.ecus.at("ecu-1").stopped = true;
  ASSERT_OK(world_.Report(home));
  inventory::v1::ListComponentsRequest list;
  list.set_filter("ecu_serial = \"ecu-1\"");
  const inventory::v1::Component component = Call(*stub, &InventoryStub::ListComponents, list)->components(0);
  EXPECT_EQ(component.state(), inventory::v1::Component::STATE_QUARANTINED);
  EXPECT_TRUE(component.quarantine().has_confirm_time());

  inventory::v1::ReleaseComponentRequest release;
  release.set_name(order.name());
  release.set_reason("repaired");
  release.set_request_id(crypto::Uuid());
  ASSERT_OK(Call(*stub, &InventoryStub::ReleaseComponent, release));
  EXPECT_TRUE(quarantined({}));
}

// PLUS-4: silence.
TEST_F(AppTest, AComponentThatGoesSilentFailsWhenItsTimeIsOver) {
  const ImageSpec image = world_.PublishImage(2);
  world_.PublishDirectorRoot();
  world_.AddHome("gw-1", {"ecu-1"});
  const std::string name = Underway(image, {.assignment_timeout = absl::Seconds(1)});
  ASSERT_TRUE(Reaches(name, v1::Rollout::STATE_COMPLETED));
  EXPECT_EQ(Assignments(name)[0].failure_reason(), common::v1::FAILURE_REASON_TIMEOUT);
}

TEST_F(AppTest, AFilterThatTheInventoryRefusesFailsThePlan) {
  const std::string name = Create({World::Image(2)}, {.filter = "colour = \"red\""});
  ASSERT_TRUE(Reaches(name, v1::Rollout::STATE_FAILED));
  EXPECT_THAT(Get(name)->state_reason(), HasSubstr("colour"));
  EXPECT_TRUE(Get(name)->has_end_time());
}

TEST_F(AppTest, TheFilterSelects) {
  world_.AddHome("gw-1", {"ecu-1"});
  world_.AddHome("gw-2", {"ecu-2"});
  const std::string name = Create({World::Image(2)}, {.filter = "gateway = \"gw-2\""});
  ASSERT_TRUE(Reaches(name, v1::Rollout::STATE_READY));
  ASSERT_THAT(Assignments(name), SizeIs(1));
  EXPECT_EQ(Assignments(name)[0].gateway(), "gw-2");
}

TEST_F(AppTest, RolloutsAreListedNewestFirst) {
  const std::string first = Create({World::Image(2)});
  const std::string second = Create({World::Image(3)});
  v1::ListRolloutsRequest request;
  request.set_page_size(1);
  ASSERT_OK_AND_ASSIGN(auto page, Call(*world_.As(kOperator), &Stub::ListRollouts, request));
  EXPECT_EQ(page.rollouts(0).name(), second);
  request.set_page_token(page.next_page_token());
  ASSERT_OK_AND_ASSIGN(page, Call(*world_.As(kOperator), &Stub::ListRollouts, request));
  EXPECT_EQ(page.rollouts(0).name(), first);
  EXPECT_EQ(page.next_page_token(), "");
}

// FOTA-T1: a hint says that there is something to look at, whichever replica knows it first.
TEST_F(AppTest, HintsReachTheGatewaysStreamFromEveryReplica) {
  world_.PublishDirectorRoot();
  const ImageSpec image = world_.PublishImage(2);
  world_.AddHome("gw-1", {"ecu-1"});
  const std::unique_ptr<Replica> other = world_.AnotherReplica();
  const std::unique_ptr<Stub> stub = other->As(Gateway("gw-1"), world_.pki);
  rpc::CallContext context(absl::Minutes(1));
  const auto stream = stub->StreamHints(context.get(), v1::StreamHintsRequest());
  const std::unique_ptr<Stub> stranger_stub = other->As(Gateway("gw-2"), world_.pki);

  // On the first replica.
  const std::string name = Create({image});
  ASSERT_TRUE(Reaches(name, v1::Rollout::STATE_READY));
  ASSERT_OK(Start(name));
  ASSERT_OK(world_.rollouts().Decide(
      {{name.substr(9), "gw-1", "ecu-1", AssignmentEvent::kConsentPending, "", "", "", std::nullopt}}));
  v1::StreamHintsResponse hint;
  const auto next = [&](v1::StreamHintsResponse::Subject subject) {
    while (stream->Read(&hint)) {
      if (hint.subject() == subject) return true;
    }
    return false;
  };
  EXPECT_TRUE(next(v1::StreamHintsResponse::SUBJECT_PROMPTS));
  v1::CheckInRequest check_in;
  EXPECT_TRUE(Call(*world_.As(Gateway("gw-1")), &Stub::CheckIn, check_in)->prompts_waiting());
  GrantAll(name, image);
  EXPECT_TRUE(next(v1::StreamHintsResponse::SUBJECT_METADATA));

  // A stream that opens later is told what it missed.
  rpc::CallContext late_context(absl::Minutes(1));
  const auto late = stub->StreamHints(late_context.get(), v1::StreamHintsRequest());
  ASSERT_TRUE(late->Read(&hint));
  EXPECT_EQ(hint.subject(), v1::StreamHintsResponse::SUBJECT_METADATA);
  context->TryCancel();
  late_context->TryCancel();
}

// A replica that ends in the middle loses nothing, and the next one does nothing twice.
TEST_F(AppTest, ARestartInTheMiddleOfARolloutLosesNothing) {
  const ImageSpec image = world_.PublishImage(2);
  Home& home = world_.AddHome("gw-1", {"ecu-1", "ecu-2", "ecu-3"});
  world_.PublishDirectorRoot();
  const std::string name = Underway(image, {.max_concurrent = 2});
  ASSERT_OK_AND_ASSIGN(const trust::Targets before, world_.DirectorTargets("gw-1"));
  world_.Kill();
  // What the devices do meanwhile is found afterwards.
  for (const auto& [serial, target] : before.targets.at(image.path).custom.ecu_identifiers) {
    World::Install(home.ecus[serial], image);
  }
  ASSERT_OK(world_.Report(home));
  ASSERT_TRUE(
      Eventually([&] { return Get(name)->counts().succeeded() == 2 && Get(name)->counts().active() == 1; }));
  ASSERT_OK_AND_ASSIGN(const trust::Targets after, world_.DirectorTargets("gw-1"));
  EXPECT_GT(after.version, before.version);
  EXPECT_THAT(after.targets.at(image.path).custom.ecu_identifiers, SizeIs(1));
  for (auto& [serial, ecu] : home.ecus) World::Install(ecu, image);
  ASSERT_OK(world_.Report(home));
  ASSERT_TRUE(Reaches(name, v1::Rollout::STATE_COMPLETED));
  EXPECT_EQ(Get(name)->counts().succeeded(), 3);
  EXPECT_EQ(Get(name)->counts().total(), 3);
}

// PLUS-4: exact across replicas.
TEST_F(AppTest, TwoReplicasOnOneDatabaseKeepMaxConcurrent) {
  const ImageSpec image = world_.PublishImage(2);
  std::vector<std::string> serials;
  for (int i = 0; i < 30; ++i) serials.push_back(absl::StrCat("ecu-", i));
  Home& home = world_.AddHome("gw-1", serials);
  world_.PublishDirectorRoot();
  const std::unique_ptr<Replica> other = world_.AnotherReplica();
  const std::string name = Underway(image, {.max_concurrent = 4});
  int most = 0;
  // The database itself refuses more than max_concurrent; here it is seen from outside until all are done.
  ASSERT_TRUE(Eventually([&] {
    const v1::Rollout rollout = *Get(name);
    most = std::max(most, rollout.counts().active());
    EXPECT_EQ(rollout.counts().total(), 30);
    const absl::StatusOr<trust::Targets> targets = world_.DirectorTargets("gw-1");
    EXPECT_OK(targets);
    if (!targets.ok()) return true;
    for (const auto& [path, target] : targets->targets) {
      EXPECT_LE(target.custom.ecu_identifiers.size(), 4u);
      for (const auto& [serial, ecu] : target.custom.ecu_identifiers)
        World::Install(home.ecus[serial], image);
    }
    EXPECT_OK(world_.Report(home));
    return rollout.state() == v1::Rollout::STATE_COMPLETED;
  }));
  EXPECT_LE(most, 4);
  EXPECT_EQ(Get(name)->counts().succeeded(), 30);
}

TEST_F(AppTest, ReadinessAsksTheDatabase) {
  EXPECT_THAT(world_.replica().http("/healthz"), ::testing::Not(IsEmpty()));
  EXPECT_THAT(world_.replica().http("/readyz"), ::testing::Not(IsEmpty()));
}

TEST(AppStartTest, KeyFilesThatCannotWorkStopTheStart) {
  World world;
  Config config = world.config();
  config.director_targets_key = config.consent_public_key;
  EXPECT_THAT(App::Start(config).status(), StatusIs(absl::StatusCode::kInvalidArgument));
  config = world.config();
  config.image_root = "/nonexistent/1.root.json";
  EXPECT_THAT(App::Start(config).status(), StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace countersign::rollout
