// Who may speak to whom: real TLS on loopback.

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/clock/clock.h"
#include "common/file/file.h"
#include "common/rpc/channel.h"
#include "common/rpc/memory_dialer.h"
#include "common/rpc/testing/echo_server_test.h"
#include "common/testing/status_matchers.h"
#include "echo/v1/echo.grpc.pb.h"
#include "gmock/gmock.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"

namespace countersign::rpc {
namespace {

using testing::Anna;
using testing::EchoApi;
using ::testing::HasSubstr;
using testing::kPatience;
using testing::TestPki;
using testing::TestServer;
using testing::echo::v1::EchoRequest;
using testing::echo::v1::EchoResponse;
using testing::echo::v1::EchoService;

class TlsTest : public testing::EchoServerTest {};

TEST_F(TlsTest, AnswersTheRoleThatMayCall) {
  Start();
  EXPECT_THAT(Echo(*StubAs(Anna()), "hello"), IsOkAndHolds("hello"));
  EXPECT_THAT(Echo(*StubAs({Role::kService, "rollout"}), "hello"), IsOkAndHolds("hello"));
}

TEST_F(TlsTest, RefusesEveryOtherRole) {
  Start();
  for (Role role : kAllRoles) {
    if (role == Role::kOperator) continue;
    EXPECT_THAT(Echo(*StubAs({role, "someone"}), "hello"),
                StatusIs(absl::StatusCode::kPermissionDenied, "ROLE_NOT_ALLOWED"))
        << RoleName(role);
  }
}

TEST_F(TlsTest, ACertificateInMemoryIsAsGoodAsOneInFilesAndItsPeerIsCheckedAllTheSame) {
  Start();
  const TlsOptions files = server_.pki().TlsFor(Anna());
  MemoryTls tls = {.trust_domain = files.trust_domain};
  ASSERT_OK_AND_ASSIGN(tls.certificate_pem, ReadFile(files.certificate_file));
  ASSERT_OK_AND_ASSIGN(tls.key_pem, ReadFile(files.key_file));
  ASSERT_OK_AND_ASSIGN(tls.ca_pem, ReadFile(files.ca_file));
  auto stub = EchoService::NewStub(DialFromMemory(tls, server_.address(), server_.identity()));
  EXPECT_THAT(Echo(*stub, "hello"), IsOkAndHolds("hello"));
  auto to_another = EchoService::NewStub(
      DialFromMemory(tls, server_.address(), {Role::kService, "another"}, {.max_attempts = 1}));
  EXPECT_THAT(Echo(*to_another, "hello"), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(TlsTest, HandlersKnowWhoCalls) {
  api_.OnEcho([](const Call& call, const std::string&, std::string* answer) {
    *answer = absl::StrCat(call.identity().ToString(), " ", call.method());
    return absl::OkStatus();
  });
  Start();
  EXPECT_THAT(Echo(*StubAs(Anna()), ""),
              IsOkAndHolds(absl::StrCat("operator/anna /", testing::kEchoService, "/Echo")));
}

// FOTA-B, FOTA-C
TEST_F(TlsTest, RefusesAClientWithoutCertificate) {
  Start();
  grpc::SslCredentialsOptions options;
  ASSERT_OK_AND_ASSIGN(options.pem_root_certs, ReadFile(server_.pki().TlsFor(Anna()).ca_file));
  auto stub = EchoService::NewStub(grpc::CreateChannel(server_.address(), grpc::SslCredentials(options)));
  EXPECT_THAT(Echo(*stub, "hello"), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(TlsTest, RefusesAClientWithoutTls) {
  Start();
  auto stub =
      EchoService::NewStub(grpc::CreateChannel(server_.address(), grpc::InsecureChannelCredentials()));
  EXPECT_THAT(Echo(*stub, "hello"), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(TlsTest, RefusesAClientOfAnotherAuthority) {
  Start();
  TestPki other;
  TlsOptions tls = other.TlsFor(Anna());
  tls.ca_file = server_.pki().TlsFor(Anna()).ca_file;
  EXPECT_THAT(Echo(*StubWith(tls), "hello"), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(TlsTest, RefusesAnExpiredCertificate) {
  Start();
  const TlsOptions tls = server_.pki().TlsFor(
      "expired", Leaf({Anna().ToUri("test.example")}, SystemClock().Now() - absl::Hours(1)));
  EXPECT_THAT(Echo(*StubWith(tls), "hello"), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(TlsTest, RefusesAnotherTrustDomain) {
  Start();
  const TlsOptions tls = server_.pki().TlsFor("foreign", Leaf({Anna().ToUri("evil.example")}));
  EXPECT_THAT(Echo(*StubWith(tls), "hello"), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(TlsTest, RefusesACertificateWithTwoIdentities) {
  Start();
  const TlsOptions tls = server_.pki().TlsFor(
      "two", Leaf({Identity{Role::kGateway, "gw-1"}.ToUri("test.example"), Anna().ToUri("test.example")}));
  EXPECT_THAT(Echo(*StubWith(tls), "hello"), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(TlsTest, RefusesACertificateWithoutIdentity) {
  Start();
  const TlsOptions tls = server_.pki().TlsFor("none", Leaf({}));
  EXPECT_THAT(Echo(*StubWith(tls), "hello"), StatusIs(absl::StatusCode::kUnavailable));
}

// FOTA-B
TEST_F(TlsTest, AClientRefusesAServerThatIsAnotherService) {
  int calls = 0;
  api_.OnEcho([&calls](const Call&, const std::string&, std::string*) {
    ++calls;
    return absl::OkStatus();
  });
  Start();
  Dialer dialer(server_.pki().TlsFor(Anna()));
  auto stub = EchoService::NewStub(dialer.Dial(server_.address(), {Role::kService, "inventory"}));
  const absl::StatusOr<std::string> answer = Echo(*stub, "secret");
  EXPECT_THAT(answer, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(std::string(answer.status().message()), HasSubstr("service/echo and not service/inventory"));
  EXPECT_EQ(calls, 0);
}

TEST_F(TlsTest, AClientRefusesAServerOfAnotherAuthority) {
  Start();
  TestPki other;
  EXPECT_THAT(Echo(*StubWith(other.TlsFor(Anna())), "secret"), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(TlsTest, AnotherRoleThanServiceCanBeTheServer) {
  TestPki pki;
  TestServer backend(Identity{Role::kManufacturer, "acme"}, &pki);
  EchoApi api;
  backend.AddService(api.Bind());
  backend.Start();
  EXPECT_THAT(Echo(*EchoService::NewStub(backend.ChannelAs(Anna())), "hello"), IsOkAndHolds("hello"));
}

TEST_F(TlsTest, AServerReadsItsNewCertificateWithoutARestart) {
  Start();
  // What a client sees as the server's certificate.
  const auto seen = [this] {
    auto stub = StubAs(Anna());
    CallContext context(kPatience);
    EchoResponse response;
    EXPECT_OK(FromGrpc(stub->Echo(context.get(), EchoRequest(), &response)));
    const auto values = context->auth_context()->FindPropertyValues(GRPC_X509_PEM_CERT_PROPERTY_NAME);
    return values.empty() ? "" : std::string(values[0].data(), values[0].size());
  };
  ASSERT_OK_AND_ASSIGN(const std::string before, ReadFile(server_.options().tls.certificate_file));
  EXPECT_EQ(seen(), before);
  const crypto::CertificateAndKey after = Leaf({server_.identity().ToUri("test.example")});
  ASSERT_OK(WriteFileAtomically(server_.options().tls.key_file, after.key_pem));
  ASSERT_OK(WriteFileAtomically(server_.options().tls.certificate_file, after.certificate_pem));
  const absl::Time give_up = SystemClock().Now() + kPatience;
  while (seen() != after.certificate_pem) ASSERT_LT(SystemClock().Now(), give_up);
}

TEST_F(TlsTest, AClientReadsItsNewCertificateWithoutARestart) {
  Start();
  // At first a gateway's, which may not call; then in the same files an operator's.
  const TlsOptions tls = server_.pki().TlsFor("rotating", Leaf({"spiffe://test.example/gateway/gw-1"}));
  Dialer dialer(tls);
  auto before = EchoService::NewStub(dialer.Dial(server_.address(), server_.identity()));
  ASSERT_THAT(Echo(*before, ""), StatusIs(absl::StatusCode::kPermissionDenied));
  const crypto::CertificateAndKey after = Leaf({Anna().ToUri("test.example")});
  ASSERT_OK(WriteFileAtomically(tls.key_file, after.key_pem));
  ASSERT_OK(WriteFileAtomically(tls.certificate_file, after.certificate_pem));
  const absl::Time give_up = SystemClock().Now() + kPatience;
  while (!Echo(*EchoService::NewStub(dialer.Dial(server_.address(), server_.identity())), "").ok()) {
    ASSERT_LT(SystemClock().Now(), give_up);
  }
}

TEST_F(TlsTest, HealthAnswersAnyIdentityOfTheTrustDomain) {
  Start();
  EXPECT_THAT(RawCall("/grpc.health.v1.Health/Check", "", {Role::kGateway, "gw-1"}),
              IsOkAndHolds("\x08\x01"));  // HealthCheckResponse{status: SERVING}
}

}  // namespace
}  // namespace countersign::rpc
