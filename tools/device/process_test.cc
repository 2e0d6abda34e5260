// The real program: its boots, its programs, its keys.
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/crypto/digest.h"
#include "common/crypto/pkcs11/keys.h"
#include "common/crypto/pkcs11/testing/soft_tpm.h"
#include "common/file/file.h"
#include "common/rpc/status_grpc.h"
#include "common/testing/status_matchers.h"
#include "gmock/gmock.h"
#include "tools/device/boot.h"
#include "tools/device/test_process.h"

namespace countersign::device {
namespace {

namespace fs = std::filesystem;

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
  Start({"--health-check", "/bin/false"});
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
  Start({"--health-check", crash});
  ASSERT_TRUE(AwaitUp());
  InstallAndActivate();
  for (int boot = 0; boot < kMaxTries; ++boot) {
    const int status = Wait();
    ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << status;
    Start({"--health-check", crash});
  }
  ASSERT_TRUE(AwaitEndOfTrial(common::v1::UPDATE_PHASE_ROLLED_BACK, offer_.approved().sha256));
  ASSERT_OK_AND_ASSIGN(const trust::VersionReport report, Report());
  EXPECT_EQ(report.version, "1.0.0");
}

TEST_F(ProcessTest, ReadingsComeFromTheirProgramAndOneThatFailsKnowsNothing) {
  offer_.Release("the new image", 2, "2.0.0");
  offer_.approved().custom.extra = R"({"preconditions":{"parked":true}})";
  offer_.Publish();
  const std::string program = folder_ + "/readings";
  const auto refusal = [&](absl::string_view script) {
    EXPECT_OK(WriteFileAtomically(program, absl::StrCat("#!/bin/sh\n", script, "\n"), 0755));
    const absl::StatusOr<v1::InstallImageResponse> response =
        Transfer(*Connect(), offer_.Header(), offer_.image);
    EXPECT_OK(response);
    return response.ok() ? response->failure_reason() : common::v1::FAILURE_REASON_TIMEOUT;
  };
  Start({"--readings", program});
  ASSERT_TRUE(AwaitUp());
  for (const char* script : {"echo '{\"parked\":false}'", "echo '{\"parked\":true}'; exit 1", "echo nonsense",
                             "yes '{\"parked\":true}'", "kill -KILL $$"}) {
    EXPECT_EQ(refusal(script), common::v1::FAILURE_REASON_PRECONDITION_NOT_MET) << script;
  }
  EXPECT_EQ(refusal("echo '{\"parked\":true}'"), common::v1::FAILURE_REASON_UNSPECIFIED);
}

class OperationTest : public ProcessTest {
 protected:
  OperationTest() {
    EXPECT_EQ(mkfifo(Started().c_str(), 0600), 0);
    EXPECT_OK(WriteFileAtomically(
        folder_ + "/operation",
        absl::StrCat("#!/bin/sh\necho $$ $1 $2 > ", Started(), "\nexec sleep 1000000\n"), 0755));
  }
  std::string Started() const { return folder_ + "/started"; }
  // Waits until the component's work is begun; says its process, and with which image.
  std::pair<pid_t, std::string> AwaitWork() {
    std::ifstream in(Started());
    pid_t process = 0;
    std::string serial, image;
    in >> process >> serial >> image;
    EXPECT_EQ(serial, kEcu);
    return {process, image};
  }
  static void ExpectGone(pid_t process) {
    const absl::Time end = absl::Now() + kPatience;
    const std::string stat = absl::StrCat("/proc/", process, "/stat");
    for (;;) {
      const absl::StatusOr<std::string> state = ReadFile(stat);
      if (!state.ok() || state->find(") Z ") != std::string::npos) return;
      if (absl::Now() > end) break;
      absl::SleepFor(absl::Milliseconds(1));
    }
    FAIL() << "the component's work goes on";
  }
};

// FOTA-R3: what is stopped does nothing any more.
TEST_F(OperationTest, AQuarantineEndsTheComponentsWorkUntilItIsOver) {
  offer_.Release("the new image", 2, "2.0.0");
  Start({"--operation", folder_ + "/operation"});
  const auto [process, image] = AwaitWork();
  EXPECT_EQ(image, ComponentFolder() + "/slot-a/image");
  ASSERT_TRUE(AwaitUp());
  const auto order = [&](std::set<std::string> quarantine) {
    offer_.director.targets.quarantine = std::move(quarantine);
    offer_.Publish();
    v1::ApplyOrdersRequest request;
    for (const auto& [name, content] : offer_.director.files) {
      v1::MetadataFile& file = *request.add_director_metadata();
      file.set_file_name(name);
      file.set_content(content);
    }
    grpc::ClientContext context;
    v1::ApplyOrdersResponse response;
    EXPECT_OK(rpc::FromGrpc(Connect()->ApplyOrders(&context, request, &response)));
  };
  order({kEcu});
  ExpectGone(process);
  ASSERT_OK_AND_ASSIGN(const trust::VersionReport stopped, Report());
  EXPECT_TRUE(stopped.quarantined);
  // Also after a power cut.
  Kill(SIGKILL);
  Start({"--operation", folder_ + "/operation"});
  ASSERT_TRUE(AwaitUp());
  EXPECT_TRUE(fs::exists(ComponentFolder() + "/stopped"));
  std::thread release([&] { order({}); });
  EXPECT_GT(AwaitWork().first, 0);
  release.join();
  EXPECT_FALSE(fs::exists(ComponentFolder() + "/stopped"));
}

TEST_F(OperationTest, TheWorkEndsWithTheDeviceAndBeginsWithTheNewImage) {
  offer_.Release("the new image", 2, "2.0.0");
  Start({"--operation", folder_ + "/operation"});
  const pid_t first = AwaitWork().first;
  ASSERT_TRUE(AwaitUp());
  InstallAndActivate();
  const auto [second, image] = AwaitWork();
  EXPECT_EQ(image, ComponentFolder() + "/slot-b/image");
  ExpectGone(first);
  Kill(SIGKILL);
  ExpectGone(second);
  Start({"--operation", folder_ + "/operation"});
  const pid_t third = AwaitWork().first;
  ASSERT_TRUE(AwaitUp());
  Kill(SIGTERM);
  ExpectGone(third);
}

struct Tpm {
  Tpm() { EXPECT_OK(crypto::pkcs11::GenerateKey(tpm.Uri("identity"), crypto::KeyType::kEcdsaP256)); }
  crypto::pkcs11::testing::SoftTpm tpm;
};

class TpmProcessTest : private Tpm, public ProcessTest {
 protected:
  TpmProcessTest() : ProcessTest({"--key", absl::StrCat(kEcu, "=", tpm.Uri("identity"))}) {}
  using Tpm::tpm;
};

// FOTA-R4: the whole way with a key in a TPM, which loses its power with the device.
TEST_F(TpmProcessTest, ADeviceWhoseKeyIsInItsTpmUpdatesAndReports) {
  offer_.Release("the new image", 2, "2.0.0");
  Start();
  ASSERT_TRUE(AwaitUp());
  ASSERT_OK(Report());
  InstallAndActivate();
  ASSERT_TRUE(AwaitEndOfTrial(common::v1::UPDATE_PHASE_VERIFYING, offer_.approved().sha256));
  ASSERT_OK_AND_ASSIGN(const trust::VersionReport report, Report());
  EXPECT_EQ(report.version, "2.0.0");
  EXPECT_FALSE(fs::exists(ComponentFolder() + "/key.pem"));
  Kill(SIGKILL);
  tpm.PowerOff();
  tpm.PowerOn();
  Start();
  ASSERT_TRUE(AwaitUp());
  ASSERT_OK(Report());
}

}  // namespace
}  // namespace countersign::device
