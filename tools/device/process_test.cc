// The device as its gateway and its power supply see it: the real program, its socket, and signals.
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <iostream>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/crypto/digest.h"
#include "common/crypto/public_key.h"
#include "common/file/file.h"
#include "common/rpc/status_grpc.h"
#include "common/testing/status_matchers.h"
#include "common/trust/envelope.h"
#include "common/trust/keys.h"
#include "common/trust/report.h"
#include "countersign/inventory/v1/inventory.pb.h"
#include "gmock/gmock.h"
#include "google/protobuf/util/json_util.h"
#include "gtest/gtest.h"
#include "tools/device/boot.h"
#include "tools/device/test_offer.h"

namespace countersign::device {
namespace {

namespace fs = std::filesystem;

constexpr char kFactoryImage[] = "the image that it left the factory with";
constexpr absl::Duration kPatience = absl::Seconds(30);

std::string Binary() {
  return absl::StrCat(std::getenv("TEST_SRCDIR"), "/", std::getenv("TEST_WORKSPACE"), "/tools/device/device");
}

pid_t Spawn(std::vector<std::string> command) {
  std::vector<char*> arguments;
  for (std::string& argument : command) arguments.push_back(argument.data());
  arguments.push_back(nullptr);
  pid_t child = 0;
  EXPECT_EQ(posix_spawn(&child, arguments[0], nullptr, nullptr, arguments.data(), environ), 0) << command[0];
  return child;
}

class ProcessTest : public ::testing::Test {
 protected:
  ProcessTest() : offer_(absl::Now()) {
    std::string folder = "/tmp/device-XXXXXX";  // short: a socket's path has 107 bytes
    folder_ = mkdtemp(folder.data());
    EXPECT_OK(MakeDirectories(folder_ + "/lan"));
    EXPECT_OK(WriteFileAtomically(folder_ + "/factory.bin", kFactoryImage));
    EXPECT_OK(WriteFileAtomically(folder_ + "/director-root.json", offer_.director.first_root));
    EXPECT_OK(WriteFileAtomically(folder_ + "/image-root.json", offer_.images.first_root));
    const pid_t provision = Spawn({Binary(), "provision", "--dir", folder_ + "/device", "--device-id", "lamp",
                                   "--manufacturer", "acme", "--model", "lamp", "--hardware-version", "1",
                                   "--component", absl::StrCat(kEcu, ":", kHardware), "--factory-image",
                                   folder_ + "/factory.bin", "--factory-version", "1.0.0"});
    int status = -1;
    EXPECT_EQ(waitpid(provision, &status, 0), provision);
    EXPECT_EQ(status, 0);
    inventory::v1::Device description;
    EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(ReadFile(folder_ + "/device/device.json").value(),
                                                            &description)
                    .ok());
    key_ = crypto::PublicKey::FromPem(description.components(0).public_key_pem()).value();
  }

  ~ProcessTest() override {
    if (child_ > 0) Kill(SIGKILL);
    fs::remove_all(folder_);
  }

  void Start(const std::string& health_check = "/bin/true") {
    child_ = Spawn({Binary(), "run", "--dir", folder_ + "/device", "--lan", folder_ + "/lan",
                    "--director-root", folder_ + "/director-root.json", "--image-root",
                    folder_ + "/image-root.json", "--health-check", health_check});
  }

  // Ends the process, and returns what waitpid() says of it.
  int Kill(int signal) {
    kill(child_, signal);
    return Wait();
  }
  int Wait() {
    const absl::Time end = absl::Now() + kPatience;
    int status = 0;
    pid_t ended = 0;
    while ((ended = waitpid(child_, &status, WNOHANG)) == 0 && absl::Now() < end) {
      absl::SleepFor(absl::Milliseconds(1));
    }
    EXPECT_GT(ended, 0) << "the device does not end";
    if (ended == 0) {
      kill(child_, SIGKILL);
      waitpid(child_, &status, 0);
    }
    child_ = 0;
    return status;
  }

  // A connection of its own each time: none remembers that the device was away.
  std::unique_ptr<v1::DeviceService::Stub> Connect() {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return v1::DeviceService::NewStub(grpc::CreateCustomChannel(
        absl::StrCat("unix:", folder_, "/lan/lamp.sock"), grpc::InsecureChannelCredentials(), arguments));
  }

  absl::StatusOr<v1::ComponentDescription> Describe() {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(5));
    v1::GetDescriptionResponse response;
    const grpc::Status status = Connect()->GetDescription(&context, {}, &response);
    if (!status.ok()) return rpc::FromGrpc(status);
    return response.components(0);
  }

  // Asks until `done` is content with the answer, or the process has ended.
  bool Await(const std::function<bool(const v1::ComponentDescription&)>& done) {
    for (const absl::Time end = absl::Now() + kPatience; absl::Now() < end;) {
      const absl::StatusOr<v1::ComponentDescription> description = Describe();
      if (description.ok() && done(*description)) return true;
      siginfo_t ended = {};
      waitid(P_PID, child_, &ended, WEXITED | WNOHANG | WNOWAIT);
      if (ended.si_pid != 0) return false;
      std::this_thread::yield();
    }
    return false;
  }
  bool AwaitUp() {
    return Await([](const auto&) { return true; });
  }
  bool AwaitEndOfTrial(common::v1::UpdatePhase phase, const std::string& sha256) {
    return Await([&](const v1::ComponentDescription& component) {
      return component.last_update() == phase && component.last_update_sha256() == sha256;
    });
  }

  // A report as the server takes it: signed, with its nonce, and its counter above every one before.
  absl::StatusOr<trust::VersionReport> Report() {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    v1::GetVersionReportsRequest request;
    request.set_nonce(absl::StrCat("nonce-", ++nonces_));
    v1::GetVersionReportsResponse response;
    const grpc::Status status = Connect()->GetVersionReports(&context, request, &response);
    if (!status.ok()) return rpc::FromGrpc(status);
    const absl::StatusOr<trust::Envelope> envelope = trust::Envelope::Parse(response.reports(0));
    if (!envelope.ok()) return envelope.status();
    absl::StatusOr<trust::VersionReport> report =
        trust::VerifyReport(*envelope, {.ecu_serial = kEcu,
                                        .key_id = trust::KeyId(*key_),
                                        .key = *key_,
                                        .last_report_counter = last_counter_,
                                        .nonce = request.nonce()});
    EXPECT_OK(report);
    if (report.ok()) last_counter_ = report->report_counter;
    return report;
  }

  absl::Status Activate(const std::string& sha256) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    v1::ActivateImageRequest request;
    request.set_ecu_serial(kEcu);
    request.set_sha256(sha256);
    v1::ActivateImageResponse response;
    return rpc::FromGrpc(Connect()->ActivateImage(&context, request, &response));
  }

  // Transfers what is on offer and has it booted.
  void InstallAndActivate() {
    const absl::StatusOr<v1::InstallImageResponse> response =
        Transfer(*Connect(), offer_.Header(), offer_.image);
    ASSERT_OK(response);
    ASSERT_TRUE(response->installed()) << response->failure_detail();
    ASSERT_OK(Activate(offer_.approved().sha256));
  }

  // SHA-256 of what is in the slot that the boot loader would run, as it is on disk.
  std::string DigestOnDisk() {
    const std::string component = absl::StrCat(folder_, "/device/components/", kEcu);
    const std::string boot = ReadFile(component + "/boot.json").value();
    const bool in_a = boot.find("\"active\":\"a\"") != std::string::npos;
    return crypto::Sha256Hex(ReadFile(component + (in_a ? "/slot-a/image" : "/slot-b/image")).value());
  }

  std::string folder_;
  TestOffer offer_;
  std::optional<crypto::PublicKey> key_;
  pid_t child_ = 0;
  int nonces_ = 0;
  int64_t last_counter_ = 0;
};

// FOTA-G, FOTA-H
TEST_F(ProcessTest, RebootsIntoTheNewImageAndSaysSoWithItsSignature) {
  offer_.Release("the new image", 2, "2.0.0");
  Start();
  ASSERT_TRUE(AwaitUp());
  ASSERT_OK_AND_ASSIGN(const trust::VersionReport before, Report());
  EXPECT_EQ(before.version, "1.0.0");
  InstallAndActivate();
  ASSERT_TRUE(AwaitEndOfTrial(common::v1::UPDATE_PHASE_VERIFYING, offer_.approved().sha256));
  ASSERT_OK_AND_ASSIGN(const trust::VersionReport after, Report());
  EXPECT_EQ(after.version, "2.0.0");
  EXPECT_EQ(after.sha256, offer_.approved().sha256);
  EXPECT_GT(after.report_counter, before.report_counter);
  // A signal ends it in order.
  const int status = Kill(SIGTERM);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  EXPECT_FALSE(fs::exists(folder_ + "/lan/lamp.sock"));
}

// FOTA-P2
TEST_F(ProcessTest, RollsBackWhenTheNewImageIsNotWell) {
  offer_.Release("the new image", 2, "2.0.0");
  Start("/bin/false");
  ASSERT_TRUE(AwaitUp());
  InstallAndActivate();
  ASSERT_TRUE(AwaitEndOfTrial(common::v1::UPDATE_PHASE_ROLLED_BACK, offer_.approved().sha256));
  ASSERT_OK_AND_ASSIGN(const v1::ComponentDescription description, Describe());
  EXPECT_EQ(description.failure_reason(), common::v1::FAILURE_REASON_UPDATE_FAILED);
  ASSERT_OK_AND_ASSIGN(const trust::VersionReport report, Report());
  EXPECT_EQ(report.version, "1.0.0");
  EXPECT_EQ(report.sha256, crypto::Sha256Hex(kFactoryImage));
}

// FOTA-P2: an image that takes the whole device down at each boot is given up, and then no longer tried.
TEST_F(ProcessTest, RollsBackWhenTheNewImageCrashesTheDevice) {
  const std::string crash = folder_ + "/crash";
  ASSERT_OK(WriteFileAtomically(crash, "#!/bin/sh\nkill -KILL $PPID\n", 0755));
  offer_.Release("the new image", 2, "2.0.0");
  Start(crash);
  ASSERT_TRUE(AwaitUp());
  InstallAndActivate();
  for (int boot = 0; boot < kMaxTries; ++boot) {
    const int status = Wait();
    ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << status;
    Start(crash);
  }
  ASSERT_TRUE(AwaitEndOfTrial(common::v1::UPDATE_PHASE_ROLLED_BACK, offer_.approved().sha256));
  ASSERT_OK_AND_ASSIGN(const trust::VersionReport report, Report());
  EXPECT_EQ(report.version, "1.0.0");
}

// FOTA-P2, FOTA-R5: the power is cut at any moment of a transfer, an activation, a boot or a report. The
// device always comes up with the old image or the new one, whole, and no report counter comes twice.
TEST_F(ProcessTest, SurvivesAPowerCutAtAnyMoment) {
  constexpr int kRounds = 60;
  std::mt19937 random(20260101);
  const auto release = [&](int round) {
    std::string image(1 << 20, '\0');
    for (char& byte : image) byte = static_cast<char>(random());
    offer_.Release(image, round + 1, absl::StrCat(round, ".0.0"));
  };
  std::string running = crypto::Sha256Hex(kFactoryImage);
  Start();
  ASSERT_TRUE(AwaitUp());
  // One update without a cut tells how long one takes here.
  release(1);
  const absl::Time start = absl::Now();
  ASSERT_OK(Report());
  InstallAndActivate();
  ASSERT_TRUE(AwaitEndOfTrial(common::v1::UPDATE_PHASE_VERIFYING, offer_.approved().sha256));
  ASSERT_OK(Report());
  const absl::Duration whole = absl::Now() - start;
  running = offer_.approved().sha256;

  int kept = 0, updated = 0;
  for (int round = 2; round < 2 + kRounds; ++round) {
    SCOPED_TRACE(absl::StrCat("round ", round));
    release(round);
    const std::string offered = offer_.approved().sha256;
    std::thread gateway([&] {
      // Each of these may fail at any time; what it says while it can must be right.
      Report().status().IgnoreError();
      const absl::StatusOr<v1::InstallImageResponse> response =
          Transfer(*Connect(), offer_.Header(), offer_.image);
      if (!response.ok()) return;
      EXPECT_TRUE(response->installed()) << response->failure_detail();
      Report().status().IgnoreError();
      Activate(offered).IgnoreError();
      Report().status().IgnoreError();
    });
    absl::SleepFor(whole * std::uniform_real_distribution<>(0, 1.1)(random));
    Kill(SIGKILL);
    gateway.join();
    Start();
    if (random() % 3 == 0) {  // and once more while it boots
      absl::SleepFor(whole * std::uniform_real_distribution<>(0, 0.3)(random));
      Kill(SIGKILL);
      Start();
    }
    ASSERT_TRUE(AwaitUp());
    ASSERT_OK_AND_ASSIGN(const trust::VersionReport first, Report());
    ASSERT_OK_AND_ASSIGN(const trust::VersionReport second, Report());
    EXPECT_EQ(second.report_counter, first.report_counter + 1);
    EXPECT_THAT(first.sha256, ::testing::AnyOf(running, offered));
    EXPECT_EQ(DigestOnDisk(), first.sha256);
    ++(first.sha256 == offered ? updated : kept);
    running = first.sha256;
  }
  RecordProperty("rounds_with_the_old_image", kept);
  RecordProperty("rounds_with_the_new_image", updated);
  std::cout << kept << " rounds ended with the old image, " << updated << " with the new one\n";
  // It still takes an update.
  release(2 + kRounds);
  InstallAndActivate();
  ASSERT_TRUE(AwaitEndOfTrial(common::v1::UPDATE_PHASE_VERIFYING, offer_.approved().sha256));
}

}  // namespace
}  // namespace countersign::device
