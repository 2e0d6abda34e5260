// What the gateway holds back and holds together: bundles, preconditions, prefetched images, and the user's
// word.
#include <functional>

#include "absl/random/random.h"
#include "absl/time/clock.h"
#include "common/status/errors.h"
#include "countersign/package_store/v1/package_store.grpc.pb.h"
#include "countersign/rollout/v1/rollout.grpc.pb.h"
#include "tests/gateway/gateway_fixture.h"

namespace countersign::gateway {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

class TogetherTest : public GatewayTest {
 protected:
  FakeComponent Device(const std::string& serial) { return devices_[serial]->Get(serial); }
  void Change(const std::string& serial, const std::function<void(FakeComponent&)>& change) {
    devices_[serial]->With([&](auto& all) { change(all[serial]); });
  }
  void ExpectEnd(const std::string& serial, UpdatePhase phase, FailureReason reason) {
    EXPECT_TRUE(Reaches(serial, phase)) << serial << " " << AssignmentOf(serial).DebugString();
    EXPECT_EQ(AssignmentOf(serial).failure_reason(), reason) << serial;
  }
  // What the agent's loop does, with the power going between any two steps.
  void WorkThroughPowerCuts() {
    ASSERT_OK(Report());
    for (int i = 0; i < 6; ++i) {
      ASSERT_OK(updater_->Look(outcome_.survey.components));
      StartGateway();
      // Nobody has been asked since the start: the devices are found again first.
      ASSERT_OK(Report());
      ASSERT_OK(updater_->Settle(outcome_.survey.components));
      StartGateway();
      ASSERT_OK(Report());
    }
  }
};

// Attack: partial bundle. The other side: a whole one.
TEST_F(TogetherTest, ABundleIsActivatedOnceAllOfItIsThereAndCommittedOnceAllOfItRuns) {
  const ImageSpec image = world_.PublishImage(2);
  MakeHome({"ecu-1", "ecu-2"});
  ASSERT_OK(Report());
  Launch(image, /*bundle=*/true);
  ASSERT_OK(updater_->Look(outcome_.survey.components));
  for (const char* serial : {"ecu-1", "ecu-2"}) {
    EXPECT_TRUE(Device(serial).provisional) << serial;
    EXPECT_FALSE(Device(serial).bundle.empty());
  }
  // While it can go back nothing of it is reported.
  ASSERT_OK(Report());
  EXPECT_EQ(outcome_.response.results_size(), 0);
  Work();
  for (const char* serial : {"ecu-1", "ecu-2"}) {
    EXPECT_EQ(Device(serial).content, image.content) << serial;
    EXPECT_EQ(Device(serial).activations, 1);
    EXPECT_EQ(Device(serial).commits, 1);
    ExpectEnd(serial, UPDATE_PHASE_SUCCEEDED, FAILURE_REASON_UNSPECIFIED);
  }
}

TEST_F(TogetherTest, WhenOneOfABundleDoesNotComeUpAllGoBackAndSayWhy) {
  const ImageSpec image = world_.PublishImage(2);
  MakeHome({"ecu-1", "ecu-2", "ecu-3"});
  ASSERT_OK(Report());
  Change("ecu-2", [](FakeComponent& one) { one.boots_badly = true; });
  Launch(image, /*bundle=*/true);
  Work();
  ExpectEnd("ecu-2", UPDATE_PHASE_ROLLED_BACK, FAILURE_REASON_UPDATE_FAILED);
  for (const char* serial : {"ecu-1", "ecu-3"}) {
    ExpectEnd(serial, UPDATE_PHASE_ROLLED_BACK, FAILURE_REASON_DEPENDENCY);
    EXPECT_THAT(AssignmentOf(serial).failure_detail(), HasSubstr("ecu-2"));
    EXPECT_EQ(Device(serial).content, "factory");
    EXPECT_EQ(Device(serial).reverts, 1);
    EXPECT_EQ(Device(serial).commits, 0);
  }
}

TEST_F(TogetherTest, WhenOneOfABundleRefusesItsImageNoneIsActivated) {
  const ImageSpec image = world_.PublishImage(2);
  MakeHome({"ecu-1", "ecu-2"});
  ASSERT_OK(Report());
  Change("ecu-2", [](FakeComponent& one) { one.refusal = FAILURE_REASON_NO_FLASH; });
  Launch(image, /*bundle=*/true);
  Work();
  ExpectEnd("ecu-2", UPDATE_PHASE_FAILED, FAILURE_REASON_NO_FLASH);
  ExpectEnd("ecu-1", UPDATE_PHASE_FAILED, FAILURE_REASON_DEPENDENCY);
  EXPECT_EQ(Device("ecu-1").activations, 0);
}

TEST_F(TogetherTest, ABundleWaitsForTheDeviceThatIsAway) {
  const ImageSpec image = world_.PublishImage(2);
  MakeHome({"ecu-1", "ecu-2"});
  ASSERT_OK(Report());
  Launch(image, /*bundle=*/true);
  FakeComponent away = Device("ecu-2");
  devices_.erase("ecu-2");
  Work();
  EXPECT_EQ(Device("ecu-1").transfers, 0);
  devices_["ecu-2"] =
      std::make_unique<FakeDevice>(lan(), "ecu-2", std::map<std::string, FakeComponent>{{"ecu-2", away}});
  Work();
  ExpectEnd("ecu-1", UPDATE_PHASE_SUCCEEDED, FAILURE_REASON_UNSPECIFIED);
  ExpectEnd("ecu-2", UPDATE_PHASE_SUCCEEDED, FAILURE_REASON_UNSPECIFIED);
}

TEST_F(TogetherTest, ABundleSurvivesPowerCutsBetweenItsSteps) {
  const ImageSpec image = world_.PublishImage(2);
  MakeHome({"ecu-1", "ecu-2"});
  ASSERT_OK(Report());
  Change("ecu-1", [](FakeComponent& one) { one.loses_answers = true; });
  Launch(image, /*bundle=*/true);
  WorkThroughPowerCuts();
  for (const char* serial : {"ecu-1", "ecu-2"}) {
    ExpectEnd(serial, UPDATE_PHASE_SUCCEEDED, FAILURE_REASON_UNSPECIFIED);
    EXPECT_EQ(Device(serial).activations, 1);
  }
}

TEST_F(TogetherTest, ABundleGoesBackOverPowerCuts) {
  const ImageSpec image = world_.PublishImage(2);
  MakeHome({"ecu-1", "ecu-2"});
  ASSERT_OK(Report());
  Change("ecu-2", [](FakeComponent& one) { one.boots_badly = true; });
  Launch(image, /*bundle=*/true);
  WorkThroughPowerCuts();
  ExpectEnd("ecu-2", UPDATE_PHASE_ROLLED_BACK, FAILURE_REASON_UPDATE_FAILED);
  ExpectEnd("ecu-1", UPDATE_PHASE_ROLLED_BACK, FAILURE_REASON_DEPENDENCY);
  EXPECT_EQ(Device("ecu-1").content, "factory");
}

// A gateway whose disk was replaced in the middle finds devices in the middle.
TEST_F(TogetherTest, ANewDiskTakesUpWhatRunsProvisionally) {
  const ImageSpec image = world_.PublishImage(2);
  MakeHome({"ecu-1", "ecu-2"});
  ASSERT_OK(Report());
  Launch(image, /*bundle=*/true);
  ASSERT_OK(updater_->Look(outcome_.survey.components));
  ASSERT_TRUE(Device("ecu-1").provisional);
  std::filesystem::remove_all(folder_ + "/state");
  StartGateway();
  Work();
  for (const char* serial : {"ecu-1", "ecu-2"}) {
    EXPECT_FALSE(Device(serial).provisional) << serial;
    ExpectEnd(serial, UPDATE_PHASE_SUCCEEDED, FAILURE_REASON_UNSPECIFIED);
  }
}

// The agent as a process, killed at random while a bundle is on its way: never half of it.
TEST_F(TogetherTest, ABundleIsWholeHoweverOftenTheAgentIsKilled) {
  MakeHome({"ecu-1", "ecu-2"});
  reporter_.reset();
  updater_.reset();
  state_.reset();
  absl::BitGen random;
  for (int round = 2; round < 5; ++round) {
    const ImageSpec image = world_.PublishImage(round);
    const bool fails = round == 3;
    Change("ecu-2", [&](FakeComponent& one) { one.boots_badly = fails; });
    auto agent = std::make_unique<Agent>(*this);
    const int seen = Device("ecu-1").report_counter;
    ASSERT_TRUE(Eventually([&] { return Device("ecu-1").report_counter > seen; }));
    const std::string id = Start(image, /*bundle=*/true);
    Decide(id, image, rollout::AssignmentEvent::kConsentGranted);
    const auto over = [&] { return Get(id).counts().waiting() + Get(id).counts().active() == 0; };
    for (int kills = 0; kills < 8 && !over(); ++kills) {
      absl::SleepFor(absl::Milliseconds(absl::Uniform(random, 200, 1500)));
      agent->Kill();
      agent = std::make_unique<Agent>(*this);
    }
    EXPECT_TRUE(Eventually(over));
    const std::string expected = fails ? World::Image(round - 1).content : image.content;
    for (const char* serial : {"ecu-1", "ecu-2"}) {
      EXPECT_EQ(Device(serial).content, expected) << serial << " in round " << round;
      EXPECT_FALSE(Device(serial).provisional);
    }
  }
}

// What the user has been asked about may be there before the answer, and no further.
TEST_F(TogetherTest, AnImageIsFetchedAheadOfConsentAndNotInstalled) {
  const ImageSpec image = world_.PublishImage(2);
  MakeHome({"ecu-1"});
  ASSERT_OK(Report());
  const std::string id = Start(image);
  Decide(id, image, rollout::AssignmentEvent::kConsentPending);
  Work();
  EXPECT_THAT(Images(), ElementsAre(crypto::Sha256Hex(image.content)));
  EXPECT_EQ(Device("ecu-1").transfers, 0);
  EXPECT_EQ(AssignmentOf("ecu-1").phase(), UPDATE_PHASE_AWAITING_CONSENT);
  const int64_t sent = SentBytes("image");
  Grant(id, image);
  Work();
  ExpectEnd("ecu-1", UPDATE_PHASE_SUCCEEDED, FAILURE_REASON_UNSPECIFIED);
  EXPECT_EQ(SentBytes("image"), sent);
}

TEST_F(TogetherTest, NothingIsWrittenUntilThePreconditionsAreKnownToHold) {
  ImageSpec image = World::Image(2);
  image.extra = R"({"preconditions":{"parked":true,"minBatteryPercent":30,"recoveryBatteryPercent":20}})";
  world_.publisher.PublishImages(world_.store, "acme", {image});
  MakeHome({"ecu-1"});
  ASSERT_OK(Report());
  Launch(image);
  Work();
  EXPECT_EQ(Device("ecu-1").transfers, 0);
  EXPECT_TRUE(Reaches("ecu-1", UPDATE_PHASE_AWAITING_PRECONDITION));
  EXPECT_TRUE(updater_->readings_awaited());
  EXPECT_FALSE(updater_->ReadingsAllow()) << "nothing is known";
  Change("ecu-1", [](FakeComponent& one) {
    one.readings.set_parked(true);
    one.readings.set_battery_percent(49);  // enough for the update, not for the way back
  });
  EXPECT_FALSE(updater_->ReadingsAllow());
  Work();
  EXPECT_EQ(Device("ecu-1").transfers, 0);
  Change("ecu-1", [](FakeComponent& one) { one.readings.set_battery_percent(50); });
  EXPECT_TRUE(updater_->ReadingsAllow());
  Work();
  ExpectEnd("ecu-1", UPDATE_PHASE_SUCCEEDED, FAILURE_REASON_UNSPECIFIED);
}

// SC-GEN-11: what the device checks comes with the image.
TEST_F(TogetherTest, TheDeviceIsGivenTheApprovalAndTheLogsProof) {
  const ImageSpec image = world_.PublishImage(2);
  MakeHome({"ecu-1"});
  ASSERT_OK(Report());
  Launch(image);
  Work();
  const device::v1::InstallHeader header = Device("ecu-1").header;
  EXPECT_FALSE(header.approval_statement().empty());
  const std::string sha256 = crypto::Sha256Hex(image.content);
  EXPECT_OK(CheckInLog(world_.publisher.LogVkey(), header.log_proof(), image.path, sha256));
  // PLUS-3: nothing else passes for a proof.
  const auto not_in_log = StatusIs(absl::StatusCode::kFailedPrecondition, kNotInLog);
  EXPECT_THAT(CheckInLog(world_.publisher.LogVkey(), "", image.path, sha256), not_in_log);
  EXPECT_THAT(CheckInLog("", header.log_proof(), image.path, sha256), not_in_log);
  EXPECT_THAT(CheckInLog(world_.publisher.LogVkey(), header.log_proof(), image.path, std::string(64, 'a')),
              not_in_log);
  EXPECT_THAT(CheckInLog(world_.publisher.LogVkey(), header.log_proof(), "acme/other/1.bin", sha256),
              not_in_log);
}

// A package store that serves what the true one has, but for what it says of packages.
class StoreWithoutProofs : public package_store::v1::PackageStoreService::Service {
 public:
  explicit StoreWithoutProofs(std::unique_ptr<package_store::v1::PackageStoreService::Stub> truth)
      : truth_(std::move(truth)) {}
  grpc::Status GetMetadata(grpc::ServerContext*, const package_store::v1::GetMetadataRequest* request,
                           package_store::v1::MetadataFile* response) override {
    rpc::CallContext context(absl::Seconds(10));
    return truth_->GetMetadata(context.get(), *request, response);
  }
  grpc::Status GetPackage(grpc::ServerContext*, const package_store::v1::GetPackageRequest* request,
                          package_store::v1::Package* response) override {
    rpc::CallContext context(absl::Seconds(10));
    const grpc::Status status = truth_->GetPackage(context.get(), *request, response);
    response->clear_log_proof();
    return status;
  }
  grpc::Status DownloadImage(grpc::ServerContext*, const package_store::v1::DownloadImageRequest*,
                             grpc::ServerWriter<package_store::v1::DownloadImageResponse>*) override {
    ++downloads;
    return {grpc::StatusCode::UNAVAILABLE, "no"};
  }
  int downloads = 0;

 private:
  const std::unique_ptr<package_store::v1::PackageStoreService::Stub> truth_;
};

// PLUS-3, at the gateway itself: the Director is not alone in asking for the proof.
TEST_F(TogetherTest, WhatIsNotProvenToBeInTheLogIsNotInstalled) {
  const ImageSpec image = world_.PublishImage(2);
  MakeHome({"ecu-1"});
  ASSERT_OK(Report());
  Launch(image);
  StoreWithoutProofs store(world_.store.As({rpc::Role::kGateway, "home-1"}));
  int port = 0;
  const auto server = grpc::ServerBuilder()
                          .AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port)
                          .RegisterService(&store)
                          .BuildAndStart();
  UpdaterOptions options;
  options.gateway_id = "home-1";
  options.director_root = world_.DirectorRoot();
  options.image_root = world_.publisher.Root();
  Updater updater(options, Dial("rollout", absl::StrCat("127.0.0.1:", world_.replica().app().grpc_port())),
                  grpc::CreateChannel(absl::StrCat("127.0.0.1:", port), grpc::InsecureChannelCredentials()),
                  &incidents_, state_.get());
  ASSERT_OK(updater.Look(outcome_.survey.components));
  ExpectEnd("ecu-1", UPDATE_PHASE_FAILED, FAILURE_REASON_NOT_APPROVED);
  EXPECT_EQ(store.downloads, 0);
  EXPECT_EQ(Device("ecu-1").transfers, 0);
  server->Shutdown();
}

// SC-USE-7
TEST_F(TogetherTest, AnImageThatTheDeviceWantsConfirmedWaitsForItsUser) {
  const ImageSpec image = world_.PublishImage(2);
  MakeHome({"ecu-1", "ecu-2"});
  ASSERT_OK(Report());
  for (const char* serial : {"ecu-1", "ecu-2"})
    Change(serial, [](FakeComponent& one) { one.asks_user = true; });
  Launch(image);
  Work();
  StartGateway();
  ASSERT_OK(Report());
  Work();
  ASSERT_THAT(updater_->confirmations(), SizeIs(2));
  const std::string sha256 = crypto::Sha256Hex(image.content);
  EXPECT_EQ(Device("ecu-1").activations, 0);
  ASSERT_OK(updater_->Answer({"ecu-1", sha256, true, "alice"}));
  ASSERT_OK(updater_->Answer({"ecu-2", sha256, false, "alice"}));
  Work();
  EXPECT_THAT(updater_->confirmations(), IsEmpty());
  ExpectEnd("ecu-1", UPDATE_PHASE_SUCCEEDED, FAILURE_REASON_UNSPECIFIED);
  EXPECT_EQ(Device("ecu-1").confirmed_by, "alice");
  ExpectEnd("ecu-2", UPDATE_PHASE_FAILED, FAILURE_REASON_USER_REJECTED);
  EXPECT_EQ(Device("ecu-2").content, "factory");
}

// A rollout service that gives out an old timestamp.
class ReplayingDirector : public rv1::RolloutService::Service {
 public:
  explicit ReplayingDirector(std::unique_ptr<RolloutStub> truth) : truth_(std::move(truth)) {}
  grpc::Status GetDirectorMetadata(grpc::ServerContext*, const rv1::GetDirectorMetadataRequest* request,
                                   rv1::GetDirectorMetadataResponse* response) override {
    if (request->file_name() == "timestamp.json") {
      response->set_content(timestamp);
      return grpc::Status::OK;
    }
    rpc::CallContext context(absl::Seconds(10));
    return truth_->GetDirectorMetadata(context.get(), *request, response);
  }
  std::string timestamp;

 private:
  const std::unique_ptr<RolloutStub> truth_;
};

class UnsolicitedTest : public TogetherTest {
 protected:
  std::vector<std::string> Noted() {
    std::vector<std::string> reasons;
    for (const trust::Incident& one : incidents_.pending()) reasons.push_back(one.reason);
    return reasons;
  }
  std::string RolloutAddress() { return absl::StrCat("127.0.0.1:", world_.replica().app().grpc_port()); }
  std::unique_ptr<Updater> UpdaterWith(std::shared_ptr<grpc::Channel> rollout) {
    UpdaterOptions options;
    options.gateway_id = "home-1";
    options.director_root = world_.DirectorRoot();
    options.image_root = world_.publisher.Root();
    return std::make_unique<Updater>(options, std::move(rollout),
                                     Dial("package-store", world_.store.address()), &incidents_,
                                     state_.get());
  }
};

// Attack: unsolicited message, metadata rollback. FOTA-R5
TEST_F(UnsolicitedTest, ReplayedDirectorMetadataChangeNothingAndAreReported) {
  const ImageSpec first = world_.PublishImage(2);
  MakeHome({"ecu-1"});
  ASSERT_OK(Report());
  Launch(first);
  ReplayingDirector director(world_.As({rpc::Role::kGateway, "home-1"}));
  rv1::GetDirectorMetadataRequest request;
  request.set_file_name("timestamp.json");
  director.timestamp =
      Call(*world_.As({rpc::Role::kGateway, "home-1"}), &RolloutStub::GetDirectorMetadata, request)
          ->content();
  Work();
  ExpectEnd("ecu-1", UPDATE_PHASE_SUCCEEDED, FAILURE_REASON_UNSPECIFIED);
  const ImageSpec second = world_.PublishImage(3);
  Launch(second);
  ASSERT_OK(updater_->Look(outcome_.survey.components));
  const int transfers = Device("ecu-1").transfers;

  int port = 0;
  const auto server = grpc::ServerBuilder()
                          .AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port)
                          .RegisterService(&director)
                          .BuildAndStart();
  const auto channel =
      grpc::CreateChannel(absl::StrCat("127.0.0.1:", port), grpc::InsecureChannelCredentials());
  const auto updater = UpdaterWith(channel);
  updater->Look(outcome_.survey.components).IgnoreError();
  EXPECT_EQ(ReasonOf(updater->verdict()), "METADATA_ROLLBACK");
  EXPECT_THAT(Noted(), ElementsAre("METADATA_ROLLBACK"));
  EXPECT_EQ(Device("ecu-1").transfers, transfers);
  server->Shutdown();
  // It goes on working, and tells.
  Work();
  ExpectEnd("ecu-1", UPDATE_PHASE_SUCCEEDED, FAILURE_REASON_UNSPECIFIED);
  EXPECT_THAT(Noted(), IsEmpty());
}

// Attack: a forged server, of the wrong role and of another CA. FOTA-R5
TEST_F(UnsolicitedTest, WhoeverElseAnswersAtAServicesAddressIsNotedAndGivenNothing) {
  MakeHome({"ecu-1"});
  ASSERT_OK(Report());
  EXPECT_THAT(UpdaterWith(Dial("rollout", world_.store.address()))->Look(outcome_.survey.components),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(Noted(), ElementsAre("SERVER_NOT_VERIFIED"));
  incidents_.Reported(incidents_.pending());
  rpc::testing::TestPki other;
  const auto stranger = rpc::Dialer(other.TlsFor({rpc::Role::kGateway, "home-1"}))
                            .Dial(RolloutAddress(), {rpc::Role::kService, "rollout"});
  EXPECT_THAT(UpdaterWith(stranger)->Look(outcome_.survey.components),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(Noted(), ElementsAre("SERVER_NOT_VERIFIED"));
  // Nobody at all is nothing to note.
  incidents_.Reported(incidents_.pending());
  EXPECT_THAT(UpdaterWith(Dial("rollout", "127.0.0.1:1"))->Look(outcome_.survey.components),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(Noted(), IsEmpty());
  ASSERT_OK(Report());
}

}  // namespace
}  // namespace countersign::gateway
