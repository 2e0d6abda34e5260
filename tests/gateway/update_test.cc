// An update's way through the gateway.
#include "common/trust/update.h"

#include "tests/gateway/gateway_fixture.h"

namespace countersign::gateway {
namespace {

using UpdateTest = GatewayTest;

// Whether a device that starts from the first roots can verify what it was sent.
bool DeviceVerifies(const device::v1::InstallHeader& header, const std::string& director_root,
                    const std::string& image_root) {
  std::map<std::string, std::string> director_files, image_files;
  for (const auto& file : header.director_metadata()) director_files[file.file_name()] = file.content();
  for (const auto& file : header.image_metadata()) image_files[file.file_name()] = file.content();
  trust::MapFetcher director_fetcher(&director_files), image_fetcher(&image_files);
  trust::MemoryStore director_store, image_store;
  trust::RepositoryClient director(&director_fetcher, &director_store, director_root);
  trust::RepositoryClient images(&image_fetcher, &image_store, image_root);
  const auto update =
      trust::VerifyUpdateFor(director, images, {header.ecu_serial(), "t1-a", 1}, SystemClock().Now());
  EXPECT_OK(update);
  return update.ok() && update->has_value() && (*update)->sha256 == header.image().sha256();
}

// HOME-1, FOTA-D, FOTA-E, FOTA-K
TEST_F(UpdateTest, AnImageReachesAComponentAndAConstrainedOneAndIsProved) {
  const ImageSpec image = world_.PublishImage(2);
  MakeHome({"ecu-1", "ecu-constrained"});
  ASSERT_OK(Report());
  Launch(image);
  Work();
  for (const char* serial : {"ecu-1", "ecu-constrained"}) {
    EXPECT_EQ(devices_[serial]->Get(serial).content, image.content) << serial;
    EXPECT_TRUE(Reaches(serial, UPDATE_PHASE_SUCCEEDED)) << serial;
    EXPECT_TRUE(
        DeviceVerifies(devices_[serial]->Get(serial).header, world_.DirectorRoot(), world_.publisher.Root()));
  }
  EXPECT_TRUE(AssignmentOf("ecu-constrained").proxied());
  EXPECT_FALSE(AssignmentOf("ecu-1").proxied());
  EXPECT_TRUE(state_->attempts().empty());
  // What the components run is kept, as what the next image differs in little from.
  EXPECT_THAT(Images(), ElementsAre(crypto::Sha256Hex(image.content)));
}

// A home whose devices run one image, of which the next version has a delta.
class DeltaUpdateTest : public UpdateTest {
 protected:
  static constexpr int64_t kBytes = 300'000;

  void SetUp() override {
    first_.content = crypto::RandomBytes(kBytes);
    second_.content = first_.content;
    second_.content.replace(1000, 5000, crypto::RandomBytes(5000));
    world_.publisher.PublishImages(world_.store, "acme", {first_, second_});
    MakeHome({"ecu-1", "ecu-2"});
    ASSERT_OK(Report());
    Launch(first_);
    Work();
    EXPECT_TRUE(Reaches("ecu-1", UPDATE_PHASE_SUCCEEDED));
    EXPECT_TRUE(Reaches("ecu-2", UPDATE_PHASE_SUCCEEDED));
    EXPECT_EQ(SentBytes("image"), kBytes);

    // Somebody has asked for it before, so that it is there at once.
    const auto stub = world_.store.As(kOperator);
    package_store::v1::GetDeltaRequest request;
    request.set_base_sha256(crypto::Sha256Hex(first_.content));
    request.set_sha256(crypto::Sha256Hex(second_.content));
    ASSERT_TRUE(Eventually([&] {
      const auto delta = Call(*stub, &package_store::v1::PackageStoreService::Stub::GetDelta, request);
      return delta.ok() && delta->state() == package_store::v1::Delta::STATE_READY;
    }));
  }
  // Launches the second image, and expects it on the devices.
  void Update() {
    Launch(second_);
    Work();
    EXPECT_EQ(devices_["ecu-1"]->Get("ecu-1").content, second_.content);
    EXPECT_EQ(devices_["ecu-2"]->Get("ecu-2").content, second_.content);
    // The old one is of no use any more, and what the components run is kept.
    EXPECT_THAT(Images(), ElementsAre(crypto::Sha256Hex(second_.content)));
  }

  ImageSpec first_ = World::Image(2), second_ = World::Image(3);
};

// FOTA-E
TEST_F(DeltaUpdateTest, AnImageComesByDeltaOnceItsOldOneHasComeWhole) {
  Update();
  EXPECT_EQ(SentBytes("image"), kBytes);
  EXPECT_GT(SentBytes("delta"), 5000);
  EXPECT_LT(SentBytes("delta"), 6000);
}

// FOTA-R2
TEST_F(DeltaUpdateTest, ADeltaThatTheStoreHasDamagedIsReportedAndTheImageComesWhole) {
  for (const auto& file : std::filesystem::directory_iterator(world_.store.config().blob_dir + "/deltas")) {
    std::string delta = *ReadFile(file.path());
    delta[delta.size() / 2] ^= 1;
    ASSERT_OK(WriteFileAtomically(file.path(), delta));
  }
  Update();
  EXPECT_GT(SentBytes("delta"), 5000);
  EXPECT_EQ(SentBytes("image"), 2 * kBytes);
  EXPECT_THAT(world_.replica().http("/metrics"),
              HasSubstr("\ncountersign_rollout_download_troubles_total{reason=\"INTEGRITY\"} 1\n"));
}

// FOTA-E
TEST_F(UpdateTest, WhatOneDeviceRefusesDoesNotKeepTheOtherFromItsUpdateAndIsNotTriedAgain) {
  const ImageSpec image = world_.PublishImage(2);
  MakeHome({"ecu-1", "ecu-2"});
  ASSERT_OK(Report());
  devices_["ecu-1"]->With([](auto& all) { all["ecu-1"].refusal = FAILURE_REASON_NO_FLASH; });
  Launch(image);
  Work();
  EXPECT_TRUE(Reaches("ecu-2", UPDATE_PHASE_SUCCEEDED));
  EXPECT_TRUE(Reaches("ecu-1", UPDATE_PHASE_FAILED));
  EXPECT_EQ(AssignmentOf("ecu-1").failure_reason(), FAILURE_REASON_NO_FLASH);
  EXPECT_THAT(AssignmentOf("ecu-1").failure_detail(), HasSubstr("not with me"));
  EXPECT_EQ(devices_["ecu-1"]->Get("ecu-1").transfers, 1);
}

TEST_F(UpdateTest, ARolledBackImageIsReportedAsSuch) {
  const ImageSpec image = world_.PublishImage(2);
  MakeHome({"ecu-1"});
  ASSERT_OK(Report());
  devices_["ecu-1"]->With([](auto& all) { all["ecu-1"].boots_badly = true; });
  Launch(image);
  Work();
  EXPECT_TRUE(Reaches("ecu-1", UPDATE_PHASE_ROLLED_BACK));
  EXPECT_EQ(AssignmentOf("ecu-1").failure_reason(), FAILURE_REASON_UPDATE_FAILED);
  EXPECT_EQ(devices_["ecu-1"]->Get("ecu-1").content, "factory");
}

TEST_F(UpdateTest, AGatewayThatDiesAfterTheActivationFindsOutHowItEnded) {
  const ImageSpec image = world_.PublishImage(2);
  MakeHome({"ecu-1"});
  ASSERT_OK(Report());
  devices_["ecu-1"]->With([](auto& all) { all["ecu-1"].loses_answers = true; });
  Launch(image);
  ASSERT_OK(updater_->Look(outcome_.survey.components));
  EXPECT_TRUE(updater_->awaiting());
  StartGateway();
  EXPECT_TRUE(updater_->awaiting());
  Work();
  EXPECT_TRUE(Reaches("ecu-1", UPDATE_PHASE_SUCCEEDED));
  EXPECT_EQ(devices_["ecu-1"]->Get("ecu-1").transfers, 1);
}

TEST_F(UpdateTest, ADownloadGoesOnWhereItWasCutAndDamagedBytesAreReportedOnce) {
  const ImageSpec image = world_.PublishImage(2);
  MakeHome({"ecu-1"});
  ASSERT_OK(Report());
  Launch(image);
  const std::string partial =
      absl::StrCat(state_->image_folder(), "/", crypto::Sha256Hex(image.content), ".partial");
  // As long as the true beginning, but not the same: only the digest of the whole tells.
  ASSERT_OK(WriteFileAtomically(partial, "FIRM"));
  Work();
  EXPECT_TRUE(Reaches("ecu-1", UPDATE_PHASE_FAILED));
  EXPECT_EQ(AssignmentOf("ecu-1").failure_reason(), FAILURE_REASON_INTEGRITY);
  EXPECT_FALSE(AssignmentOf("ecu-1").failure_detail().empty());
  EXPECT_EQ(devices_["ecu-1"]->Get("ecu-1").transfers, 0);
}

// FOTA-B
TEST_F(UpdateTest, AGatewayCannotSpeakForAnotherHome) {
  MakeHome({"ecu-1"});
  StartGateway("home-2");
  EXPECT_THAT(Report(), StatusIs(absl::StatusCode::kPermissionDenied, "GATEWAY_MISMATCH"));
}

// HOME-2
TEST_F(UpdateTest, AGatewayWithANewDiskGoesOnFromTheCounterThatTheInventoryHas) {
  MakeHome({"ecu-1"});
  for (int i = 0; i < 3; ++i) EXPECT_OK(Report());
  std::filesystem::remove_all(folder_ + "/state");
  StartGateway();
  EXPECT_OK(Report());
}

TEST_F(UpdateTest, AWrongProxyKeyIsRefusedForTheConstrainedComponentOnly) {
  MakeHome({"ecu-1", "ecu-constrained"});
  home_->proxy_key =
      std::make_shared<crypto::PemSigner>(*crypto::PemSigner::Generate(crypto::KeyType::kEd25519));
  StartGateway();
  ASSERT_OK(Report());
  ASSERT_EQ(outcome_.response.results_size(), 2);
  for (const auto& result : outcome_.response.results()) {
    EXPECT_EQ(result.accepted(), result.ecu_serial() == "ecu-1") << result.DebugString();
  }
}

// The binary itself, killed in the middle. HOME-1, FOTA-B, FOTA-E
TEST_F(UpdateTest, TheAgentThatIsKilledGoesOnWhereItWas) {
  const ImageSpec image = world_.PublishImage(2);
  MakeHome({"ecu-1", "ecu-constrained"});
  reporter_.reset();
  updater_.reset();
  state_.reset();
  Agent first(*this);
  ASSERT_TRUE(Eventually([&] { return devices_["ecu-1"]->Get("ecu-1").report_counter > 1; }));
  devices_["ecu-constrained"]->With([](auto& all) { all["ecu-constrained"].loses_answers = true; });
  Launch(image);
  // It hears of it by a hint: by itself it would ask in an hour.
  ASSERT_TRUE(Eventually([&] {
    return devices_["ecu-1"]->Get("ecu-1").transfers +
               devices_["ecu-constrained"]->Get("ecu-constrained").transfers >
           0;
  }));
  first.Kill();
  Agent second(*this);
  EXPECT_TRUE(Reaches("ecu-1", UPDATE_PHASE_SUCCEEDED));
  EXPECT_TRUE(Reaches("ecu-constrained", UPDATE_PHASE_SUCCEEDED));
}

}  // namespace
}  // namespace countersign::gateway
