// A started server of echo.proto and what a test says to it.
#ifndef COUNTERSIGN_COMMON_RPC_TESTING_ECHO_SERVER_TEST_H_
#define COUNTERSIGN_COMMON_RPC_TESTING_ECHO_SERVER_TEST_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "common/clock/clock.h"
#include "common/crypto/x509.h"
#include "common/rpc/channel.h"
#include "common/rpc/testing/echo_service.h"
#include "common/rpc/testing/test_server.h"
#include "common/status/macros.h"
#include "common/testing/status_matchers.h"
#include "echo/v1/echo.grpc.pb.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"

namespace countersign::rpc::testing {

inline const Identity& Anna() {
  static const auto& anna = *new Identity{Role::kOperator, "anna"};
  return anna;
}

// Long enough for a machine that does much else; no test waits for it unless it fails.
inline constexpr absl::Duration kPatience = absl::Seconds(60);

class EchoServerTest : public ::testing::Test {
 protected:
  void Start() {
    server_.AddService(api_.Bind());
    server_.Start();
  }

  std::unique_ptr<echo::v1::EchoService::Stub> StubAs(const Identity& identity) {
    return echo::v1::EchoService::NewStub(server_.ChannelAs(identity));
  }

  std::unique_ptr<echo::v1::EchoService::Stub> StubWith(const TlsOptions& tls) {
    return echo::v1::EchoService::NewStub(Dialer(tls).Dial(server_.address(), server_.identity()));
  }

  static absl::StatusOr<std::string> Echo(echo::v1::EchoService::Stub& stub, const std::string& text) {
    CallContext context(kPatience);
    echo::v1::EchoRequest request;
    request.set_text(text);
    echo::v1::EchoResponse response;
    RETURN_IF_ERROR(FromGrpc(stub.Echo(context.get(), request, &response)));
    return response.text();
  }

  crypto::CertificateAndKey Leaf(const std::vector<std::string>& uris,
                                 absl::Time not_after = absl::InfinitePast()) {
    crypto::CertificateSpec spec;
    spec.common_name = "test";
    spec.uris = uris;
    spec.not_before = SystemClock().Now() - absl::Hours(2);
    spec.not_after = not_after == absl::InfinitePast() ? SystemClock().Now() + absl::Hours(1) : not_after;
    const auto leaf = crypto::IssueCertificate(server_.pki().authority().certificate(), spec);
    EXPECT_OK(leaf);
    return *leaf;
  }

  // Sends bytes as they are.
  absl::StatusOr<std::string> RawCall(const std::string& method, const std::string& request,
                                      const Identity& identity = Anna()) {
    grpc::GenericStub stub(server_.ChannelAs(identity));
    CallContext context(kPatience);
    const grpc::Slice slice(request);
    const grpc::ByteBuffer sent(&slice, 1);
    grpc::ByteBuffer received;
    grpc::Status status;
    absl::Notification done;
    stub.UnaryCall(context.get(), method, grpc::StubOptions(), &sent, &received, [&](grpc::Status end) {
      status = std::move(end);
      done.Notify();
    });
    done.WaitForNotification();
    RETURN_IF_ERROR(FromGrpc(status));
    grpc::Slice bytes;
    if (!received.DumpToSingleSlice(&bytes).ok()) return absl::InternalError("no response");
    return std::string(reinterpret_cast<const char*>(bytes.begin()), bytes.size());
  }

  EchoApi api_;
  TestServer server_{"echo"};
};

}  // namespace countersign::rpc::testing

#endif  // COUNTERSIGN_COMMON_RPC_TESTING_ECHO_SERVER_TEST_H_
