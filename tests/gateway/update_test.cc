// The reference gateway's parts with the real rollout service, inventory and package store, and devices that
// do what devices of other makers might do.
#include "common/trust/update.h"

#include <grpcpp/grpcpp.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/crypto/digest.h"
#include "common/crypto/random.h"
#include "common/file/file.h"
#include "common/status/macros.h"
#include "common/testing/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/rollout/testing/world.h"
#include "tools/gateway/fake_device.h"
#include "tools/gateway/link.h"
#include "tools/gateway/reporter.h"
#include "tools/gateway/state.h"
#include "tools/gateway/updater.h"

namespace countersign::gateway {
namespace {

using namespace common::v1;
using package_store::testing::ImageSpec;
using rollout::testing::Call;
using rollout::testing::Eventually;
using rollout::testing::Home;
using rollout::testing::kOperator;
using rollout::testing::World;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
namespace rv1 = ::countersign::rollout::v1;
using RolloutStub = rv1::RolloutService::Stub;

class UpdateTest : public ::testing::Test {
 protected:
  UpdateTest() {
    std::string folder = "/tmp/gateway-XXXXXX";  // short: a socket's path has at most 107 characters
    folder_ = mkdtemp(folder.data());
    EXPECT_OK(MakeDirectories(lan()));
    world_.PublishDirectorRoot();
  }
  ~UpdateTest() override {
    devices_.clear();
    std::filesystem::remove_all(folder_);
  }

  std::string lan() const { return folder_ + "/lan"; }

  // A home with a device for each component, and its gateway.
  void MakeHome(const std::vector<std::string>& serials) {
    home_ = &world_.AddHome("home-1", serials);
    for (const auto& [serial, ecu] : home_->ecus) {
      FakeComponent component;
      component.report_counter = ecu.report_counter;
      if (!ecu.constrained) component.key = ecu.key;
      devices_[serial] = std::make_unique<FakeDevice>(
          lan(), serial, std::map<std::string, FakeComponent>{{serial, component}});
    }
    StartGateway();
  }

  std::shared_ptr<grpc::Channel> Dial(const std::string& service, const std::string& address) {
    return rpc::Dialer(world_.pki.TlsFor({rpc::Role::kGateway, "home-1"}))
        .Dial(address, {rpc::Role::kService, service});
  }

  // As after a power cut: all that is left is the disk.
  void StartGateway(const std::string& id = "home-1") {
    updater_.reset();
    reporter_.reset();
    state_.reset();
    ASSERT_OK_AND_ASSIGN(state_, State::Open(folder_ + "/state"));
    const ReporterKeys keys = {.manifest = home_->key.get(), .proxy = home_->proxy_key.get()};
    reporter_ = std::make_unique<Reporter>(id, keys, Dial("inventory", world_.config().inventory_address),
                                           &incidents_, state_.get());
    UpdaterOptions options;
    options.gateway_id = id;
    options.quarantine_hook = hook_;
    options.director_root = world_.DirectorRoot();
    options.image_root = world_.publisher.Root();
    const std::string rollout = absl::StrCat("127.0.0.1:", world_.replica().app().grpc_port());
    updater_ =
        std::make_unique<Updater>(options, Dial("rollout", rollout),
                                  Dial("package-store", world_.store.address()), &incidents_, state_.get());
  }

  absl::Status Report() {
    ASSIGN_OR_RETURN(const std::vector<Socket> sockets, ListSockets(lan()));
    ASSIGN_OR_RETURN(outcome_, reporter_->Report(sockets));
    return absl::OkStatus();
  }

  // What the agent's loop does until there is nothing to do.
  void Work() {
    ASSERT_OK(Report());
    for (int i = 0; i < 5; ++i) {
      ASSERT_OK(updater_->Look(outcome_.survey.components));
      ASSERT_OK(updater_->Settle(outcome_.survey.components));
      if (updater_->TakeChanged()) {
        ASSERT_OK(Report());
      }
    }
  }

  // A rollout of `image`, consented and let in.
  void Launch(const ImageSpec& image) {
    rollout::Rollout rollout;
    rollout.id = crypto::RandomHex(8);
    rollout.spec.display_name = "Test";
    rollout.created_by = "operator/alice";
    rollout.create_time = SystemClock().Now();
    ASSERT_OK(world_.rollouts().Create(rollout, {World::ReleaseOf(image)},
                                       {"operator/alice", "Create", crypto::Uuid(), "",
                                        [](const rollout::Rollout&) { return std::string(); }}));
    const std::string name = absl::StrCat("rollouts/", rollout.id);
    const auto get = [&] {
      rv1::GetRolloutRequest request;
      request.set_name(name);
      return *Call(*world_.As(kOperator), &RolloutStub::GetRollout, request);
    };
    ASSERT_TRUE(Eventually([&] { return get().state() == rv1::Rollout::STATE_READY; }));
    rv1::StartRolloutRequest start;
    start.set_name(name);
    start.set_request_id(crypto::Uuid());
    ASSERT_OK(Call(*world_.As(kOperator), &RolloutStub::StartRollout, start));
    const auto views = world_.rollouts().Assignments(rollout.id, std::nullopt, 1000, std::nullopt);
    ASSERT_OK(views);
    std::vector<rollout::ConsentDecision> decisions;
    for (const rollout::AssignmentView& view : *views) {
      const rollout::Assignment& assignment = view.assignment;
      decisions.push_back(
          {assignment.rollout, assignment.gateway, assignment.ecu_serial,
           rollout::AssignmentEvent::kConsentGranted,
           absl::StrCat("gateways/", assignment.gateway, "/records/record-", assignment.ecu_serial), "user-1",
           world_.ConsentFor(assignment, World::ReleaseOf(image), absl::Hours(1)),
           SystemClock().Now() + absl::Hours(1)});
    }
    ASSERT_OK(world_.rollouts().Decide(decisions));
    const int total = static_cast<int>(decisions.size());
    ASSERT_TRUE(Eventually([&] { return get().counts().active() == total; }));
  }

  // Names of the files in the gateway's folder of images.
  std::vector<std::string> Images() {
    EXPECT_OK(updater_->Look(outcome_.survey.components));
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(state_->image_folder())) {
      names.push_back(entry.path().filename().string());
    }
    return names;
  }

  // What the package store has sent of images or deltas.
  int64_t SentBytes(absl::string_view kind) {
    const std::string text = world_.store.HttpGet("/metrics");
    const std::string name =
        absl::StrCat("\ncountersign_package_store_sent_bytes_total{kind=\"", kind, "\"} ");
    const size_t at = text.find(name);
    return at == std::string::npos ? 0 : std::stod(text.substr(at + name.size()));
  }

  rv1::Assignment AssignmentOf(const std::string& serial) {
    rv1::ListAssignmentsRequest request;
    request.set_parent("rollouts/-");
    const auto page = Call(*world_.As(kOperator), &RolloutStub::ListAssignments, request);
    EXPECT_OK(page);
    for (const rv1::Assignment& assignment : page->assignments()) {
      if (assignment.ecu_serial() == serial) return assignment;
    }
    return {};
  }

  bool Reaches(const std::string& serial, UpdatePhase phase) {
    return Eventually([&] { return AssignmentOf(serial).phase() == phase; });
  }

  // The agent as a process.
  class Agent {
   public:
    explicit Agent(UpdateTest& test) {
      const rpc::TlsOptions tls = test.world_.pki.TlsFor({rpc::Role::kGateway, "home-1"});
      const std::map<std::string, std::string> flags = {
          {"--id", "home-1"},
          {"--dir", test.folder_ + "/state"},
          {"--lan", test.lan()},
          {"--key", test.Write("key.pem", dynamic_cast<const crypto::PemSigner&>(*test.home_->key).ToPem())},
          {"--proxy-key",
           test.Write("proxy.pem", dynamic_cast<const crypto::PemSigner&>(*test.home_->proxy_key).ToPem())},
          {"--director-root", test.Write("director.json", test.world_.DirectorRoot())},
          {"--image-root", test.Write("images.json", test.world_.publisher.Root())},
          {"--tls-cert", tls.certificate_file},
          {"--tls-key", tls.key_file},
          {"--tls-ca", tls.ca_file},
          {"--trust-domain", tls.trust_domain},
          {"--inventory-address", test.world_.config().inventory_address},
          {"--rollout-address", absl::StrCat("127.0.0.1:", test.world_.replica().app().grpc_port())},
          {"--package-store-address", test.world_.store.address()}};
      std::vector<std::string> words = {"tools/gateway/gateway"};
      for (const auto& [flag, value] : flags) words.insert(words.end(), {flag, value});
      words.insert(words.end(), {"run", "--check-in-interval", "3600"});
      std::vector<char*> arguments;
      for (std::string& word : words) arguments.push_back(word.data());
      arguments.push_back(nullptr);
      EXPECT_EQ(posix_spawn(&process_, arguments[0], nullptr, nullptr, arguments.data(), environ), 0);
    }
    ~Agent() { Kill(); }
    void Kill() {
      if (process_ == 0) return;
      kill(process_, SIGKILL);
      waitpid(std::exchange(process_, 0), nullptr, 0);
    }

   private:
    pid_t process_ = 0;
  };

  std::string Write(const std::string& name, const std::string& content) {
    const std::string path = absl::StrCat(folder_, "/", name);
    EXPECT_OK(WriteFileAtomically(path, content, 0600));
    return path;
  }

  World world_;
  std::string folder_;
  Home* home_ = nullptr;
  std::map<std::string, std::unique_ptr<FakeDevice>> devices_;
  std::string hook_;
  Incidents incidents_;
  std::unique_ptr<State> state_;
  std::unique_ptr<Reporter> reporter_;
  std::unique_ptr<Updater> updater_;
  ReportOutcome outcome_;
};

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
