#include "tools/device/test_process.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/file/file.h"
#include "common/rpc/status_grpc.h"
#include "common/testing/status_matchers.h"
#include "common/trust/envelope.h"
#include "common/trust/keys.h"
#include "countersign/inventory/v1/inventory.pb.h"
#include "google/protobuf/util/json_util.h"

namespace countersign::device {
namespace {

constexpr std::chrono::seconds kCallTimeout(20);

std::string Binary() {
  return absl::StrCat(std::getenv("TEST_SRCDIR"), "/", std::getenv("TEST_WORKSPACE"), "/tools/device/device");
}

std::vector<std::string> Append(std::vector<std::string> command, std::vector<std::string> flags) {
  for (std::string& flag : flags) command.push_back(std::move(flag));
  return command;
}

// A call to the device with one request and one answer.
template <typename Request, typename Response, typename Method>
absl::Status Call(v1::DeviceService::Stub& stub, Method method, const Request& request, Response& response) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kCallTimeout);
  return rpc::FromGrpc((stub.*method)(&context, request, &response));
}

}  // namespace

pid_t Spawn(std::vector<std::string> command) {
  std::vector<char*> arguments;
  for (std::string& argument : command) arguments.push_back(argument.data());
  arguments.push_back(nullptr);
  pid_t child = 0;
  EXPECT_EQ(posix_spawn(&child, arguments[0], nullptr, nullptr, arguments.data(), environ), 0) << command[0];
  return child;
}

ProcessTest::ProcessTest(std::vector<std::string> flags) : offer_(absl::Now()) {
  std::string folder = "/tmp/device-XXXXXX";  // short: a socket's path has 107 bytes
  folder_ = mkdtemp(folder.data());
  EXPECT_OK(MakeDirectories(folder_ + "/lan"));
  EXPECT_OK(WriteFileAtomically(folder_ + "/factory.bin", kFactoryImage));
  EXPECT_OK(WriteFileAtomically(folder_ + "/director-root.json", offer_.director.first_root));
  EXPECT_OK(WriteFileAtomically(folder_ + "/image-root.json", offer_.images.first_root));
  const pid_t provision = Spawn(Append(
      {Binary(), "provision", "--dir", folder_ + "/device", "--device-id", "lamp", "--manufacturer", "acme",
       "--model", "lamp", "--hardware-version", "1", "--component", absl::StrCat(kEcu, ":", kHardware),
       "--factory-image", folder_ + "/factory.bin", "--factory-version", "1.0.0"},
      std::move(flags)));
  int status = -1;
  EXPECT_EQ(waitpid(provision, &status, 0), provision);
  EXPECT_EQ(status, 0);
  inventory::v1::Device description;
  EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(ReadFile(folder_ + "/device/device.json").value(),
                                                          &description)
                  .ok());
  key_ = crypto::PublicKey::FromPem(description.components(0).public_key_pem()).value();
}

ProcessTest::~ProcessTest() {
  if (child_ > 0) Kill(SIGKILL);
  std::filesystem::remove_all(folder_);
}

void ProcessTest::Start(std::vector<std::string> flags) {
  child_ = Spawn(
      Append({Binary(), "run", "--dir", folder_ + "/device", "--lan", folder_ + "/lan", "--director-root",
              folder_ + "/director-root.json", "--image-root", folder_ + "/image-root.json"},
             std::move(flags)));
}

int ProcessTest::Kill(int signal) {
  kill(child_, signal);
  return Wait();
}

int ProcessTest::Wait() {
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

std::unique_ptr<v1::DeviceService::Stub> ProcessTest::Connect() {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return v1::DeviceService::NewStub(
      grpc::CreateCustomChannel("unix:" + Socket(), grpc::InsecureChannelCredentials(), arguments));
}

absl::StatusOr<v1::ComponentDescription> ProcessTest::Describe() {
  v1::GetDescriptionResponse response;
  const absl::Status status =
      Call(*Connect(), &v1::DeviceService::Stub::GetDescription, v1::GetDescriptionRequest(), response);
  if (!status.ok()) return status;
  return response.components(0);
}

bool ProcessTest::Await(const std::function<bool(const v1::ComponentDescription&)>& done) {
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

bool ProcessTest::AwaitUp() {
  return Await([](const auto&) { return true; });
}

bool ProcessTest::AwaitEndOfTrial(common::v1::UpdatePhase phase, const std::string& sha256) {
  return Await([&](const v1::ComponentDescription& component) {
    return component.last_update() == phase && component.last_update_sha256() == sha256;
  });
}

absl::StatusOr<trust::VersionReport> ProcessTest::Report() {
  v1::GetVersionReportsRequest request;
  request.set_nonce(absl::StrCat("nonce-", ++nonces_));
  v1::GetVersionReportsResponse response;
  const absl::Status status =
      Call(*Connect(), &v1::DeviceService::Stub::GetVersionReports, request, response);
  if (!status.ok()) return status;
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

absl::Status ProcessTest::Activate(const std::string& sha256, const std::string& bundle) {
  v1::ActivateImageRequest request;
  request.set_ecu_serial(kEcu);
  request.set_sha256(sha256);
  request.set_bundle(bundle);
  v1::ActivateImageResponse response;
  return Call(*Connect(), &v1::DeviceService::Stub::ActivateImage, request, response);
}

absl::Status ProcessTest::Commit(const std::string& sha256) {
  v1::CommitImageRequest request;
  request.set_ecu_serial(kEcu);
  request.set_sha256(sha256);
  v1::CommitImageResponse response;
  return Call(*Connect(), &v1::DeviceService::Stub::CommitImage, request, response);
}

absl::Status ProcessTest::Revert(const std::string& sha256) {
  v1::RevertImageRequest request;
  request.set_ecu_serial(kEcu);
  request.set_sha256(sha256);
  v1::RevertImageResponse response;
  return Call(*Connect(), &v1::DeviceService::Stub::RevertImage, request, response);
}

absl::Status ProcessTest::Confirm(const std::string& sha256) {
  v1::ConfirmImageRequest request;
  request.set_ecu_serial(kEcu);
  request.set_sha256(sha256);
  request.set_confirm(true);
  request.set_principal_id("user-1");
  v1::ConfirmImageResponse response;
  return Call(*Connect(), &v1::DeviceService::Stub::ConfirmImage, request, response);
}

void ProcessTest::InstallAndActivate() {
  const absl::StatusOr<v1::InstallImageResponse> response =
      Transfer(*Connect(), offer_.Header(), offer_.image);
  ASSERT_OK(response);
  ASSERT_TRUE(response->installed()) << response->failure_detail();
  ASSERT_OK(Activate(offer_.approved().sha256));
}

}  // namespace countersign::device
