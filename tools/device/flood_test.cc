// FOTA-R5: what a stranger can do to the device's socket: nothing that lasts.
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/file/file.h"
#include "common/rpc/status_grpc.h"
#include "common/testing/status_matchers.h"
#include "gmock/gmock.h"
#include "tools/device/test_process.h"

namespace countersign::device {
namespace {

constexpr char kPreface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

class FloodTest : public ProcessTest {
 protected:
  FloodTest() {
    offer_.Release("the new image", 2, "2.0.0");
    Start();
    EXPECT_TRUE(AwaitUp());
  }

  // A connection that speaks bytes; -1 when there is none to be had.
  int Open() {
    const int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = {}};
    strncpy(address.sun_path, Socket().c_str(), sizeof(address.sun_path) - 1);
    if (connect(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0)
      return descriptor;
    close(descriptor);
    return -1;
  }
  static void Say(int descriptor, absl::string_view bytes) {
    send(descriptor, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }

  int64_t ResidentKilobytes() const {
    const std::string status = ReadFile(absl::StrCat("/proc/", child_, "/status")).value_or("");
    for (absl::string_view line : absl::StrSplit(status, '\n')) {
      int64_t kilobytes = 0;
      if (!absl::StartsWith(line, "VmRSS:")) continue;
      const std::vector<absl::string_view> words =
          absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
      if (words.size() > 1 && absl::SimpleAtoi(words[1], &kilobytes)) return kilobytes;
    }
    return 0;
  }

  // Asks for reports and breaks transfers off as fast as it can; the gateway is answered meanwhile.
  void Flood() {
    std::vector<std::thread> callers;
    const absl::Time end = absl::Now() + absl::Seconds(1);
    for (int caller = 0; caller < 4; ++caller) {
      callers.emplace_back([this, end, caller] {
        const std::unique_ptr<v1::DeviceService::Stub> stub = Connect();
        while (absl::Now() < end) {
          grpc::ClientContext context;
          context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(1));
          if (caller % 2 == 0) {
            v1::GetVersionReportsRequest request;
            request.set_nonce("flood");
            v1::GetVersionReportsResponse response;
            stub->GetVersionReports(&context, request, &response);
          } else {
            v1::InstallImageResponse response;
            const auto writer = stub->InstallImage(&context, &response);
            v1::InstallImageRequest request;
            request.mutable_header()->set_ecu_serial(kEcu);
            writer->Write(request);
            context.TryCancel();
            writer->Finish();
          }
        }
      });
    }
    bool answered = false;
    while (!answered && absl::Now() < end + kPatience) answered = Describe().ok();
    EXPECT_TRUE(answered) << "the gateway is kept out";
    for (std::thread& caller : callers) caller.join();
  }

  // The same process answers, and takes its update.
  void ExpectWorks() {
    const pid_t before = child_;
    ASSERT_TRUE(AwaitUp());
    ASSERT_OK_AND_ASSIGN(const trust::VersionReport report, Report());
    EXPECT_EQ(report.version, "1.0.0") << "nothing was installed on the way";
    InstallAndActivate();
    ASSERT_TRUE(AwaitEndOfTrial(common::v1::UPDATE_PHASE_VERIFYING, offer_.approved().sha256));
    EXPECT_EQ(child_, before);
  }
};

TEST_F(FloodTest, FramesThatAreNoneEndTheirConnectionAndNothingElse) {
  std::mt19937 random(20261121);
  std::vector<std::string> speeches = {
      "GET / HTTP/1.1\r\nHost: lamp\r\n\r\n",
      std::string(kPreface).substr(0, 10),
      kPreface,
      std::string(1 << 20, '\0'),
      // A frame of 16 MiB - 1 is announced; headers that continue for ever; a window of zero; a stream of a
      // server.
      absl::StrCat(kPreface, std::string("\xff\xff\xff\x00\x00\x00\x00\x00\x01", 9), std::string(4096, 'x')),
      absl::StrCat(kPreface, std::string("\x00\x00\x00\x04\x00\x00\x00\x00\x00", 9),
                   std::string("\x00\x00\x01\x01\x00\x00\x00\x00\x01\x82", 10),
                   std::string("\x00\x40\x00\x09\x00\x00\x00\x00\x01", 9), std::string(0x4000, '\x82')),
      absl::StrCat(kPreface, std::string("\x00\x00\x04\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00", 13)),
      absl::StrCat(kPreface, std::string("\x00\x00\x01\x01\x04\x00\x00\x00\x02\x82", 10)),
  };
  for (int i = 0; i < 200; ++i) {
    std::string noise(random() % 2 == 0 ? kPreface : "");
    for (int n = random() % 2000; n > 0; --n) noise += static_cast<char>(random());
    speeches.push_back(std::move(noise));
  }
  for (const std::string& speech : speeches) {
    const int connection = Open();
    if (connection < 0) continue;
    Say(connection, speech);
    close(connection);
  }
  ExpectWorks();
}

TEST_F(FloodTest, MessagesThatAreTooLongOrNoneAreRefused) {
  const auto channel = grpc::CreateChannel("unix:" + Socket(), grpc::InsecureChannelCredentials());
  // 64 MiB of metadata.
  v1::InstallHeader header = offer_.Header();
  header.add_director_metadata()->set_content(std::string(64 << 20, 'x'));
  const absl::StatusOr<v1::InstallImageResponse> response = Transfer(*Connect(), header, offer_.image);
  EXPECT_THAT(response.status(), StatusIs(absl::StatusCode::kResourceExhausted));
  // Bytes that are no message, for every method there is and one that is not.
  for (const char* method : {"GetDescription", "GetVersionReports", "InstallImage", "ActivateImage",
                             "ConfirmImage", "CommitImage", "RevertImage", "ApplyOrders", "Destroy"}) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    grpc::CompletionQueue queue;
    grpc::GenericStub stub(channel);
    const std::string bytes = "\xff\xff\xff\xff\x0f nonsense";
    grpc::Slice slice(bytes);
    const auto call =
        stub.PrepareUnaryCall(&context, absl::StrCat("/countersign.device.v1.DeviceService/", method),
                              grpc::ByteBuffer(&slice, 1), &queue);
    call->StartCall();
    grpc::ByteBuffer answer;
    grpc::Status status;
    call->Finish(&answer, &status, nullptr);
    void* tag = nullptr;
    bool ok = false;
    queue.Next(&tag, &ok);
    // A transfer that begins with nonsense is answered as one that is refused.
    if (std::string(method) != "InstallImage") {
      EXPECT_FALSE(status.ok()) << method;
    }
  }
  ExpectWorks();
}

// Hundreds of connections that say nothing, reports asked for without end, transfers begun and broken off:
// the device answers its gateway meanwhile, and what one flood has taken the next one finds again.
TEST_F(FloodTest, AFloodIsSatOut) {
  std::vector<int> silent;
  for (int i = 0; i < 400; ++i) {
    if (const int connection = Open(); connection >= 0) silent.push_back(connection);
    if (i % 2 == 0 && !silent.empty()) Say(silent.back(), kPreface);
  }
  EXPECT_GT(silent.size(), 100u);
  Flood();
  Flood();
  const int64_t before = ResidentKilobytes();
  Flood();
  EXPECT_LT(ResidentKilobytes() - before, before / 2) << "of " << before;
  for (const int connection : silent) close(connection);
  ExpectWorks();
}

}  // namespace
}  // namespace countersign::device
