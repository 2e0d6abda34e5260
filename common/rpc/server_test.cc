// What a server says of itself, how it ends, and when it refuses to start.

#include "common/rpc/server.h"

#include <signal.h>
#include <unistd.h>

#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "common/clock/clock.h"
#include "common/file/file.h"
#include "common/rpc/channel.h"
#include "common/rpc/testing/echo_server_test.h"
#include "common/testing/status_matchers.h"
#include "echo/v1/echo.grpc.pb.h"
#include "gmock/gmock.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"

namespace countersign::rpc {
namespace {

using testing::Anna;
using ::testing::HasSubstr;
using testing::kPatience;
using ::testing::Not;
using testing::TestPki;
using testing::echo::v1::CountRequest;
using testing::echo::v1::CountResponse;
using testing::echo::v1::EchoRequest;
using testing::echo::v1::EchoResponse;
using testing::echo::v1::EchoService;

class ServerTest : public testing::EchoServerTest {};

TEST_F(ServerTest, AClosedMethodAnswersNobody) {
  Start();
  CallContext context(kPatience);
  EchoResponse response;
  EXPECT_THAT(FromGrpc(StubAs(Anna())->Closed(context.get(), EchoRequest(), &response)),
              StatusIs(absl::StatusCode::kUnimplemented));
}

TEST_F(ServerTest, MetricsHaveTheNamesThatDashboardsKnow) {
  Start();
  auto stub = StubAs(Anna());
  ASSERT_OK(Echo(*stub, ""));
  EXPECT_FALSE(Echo(*StubAs({Role::kGateway, "gw-1"}), "").ok());
  const std::string text = server_.HttpGet("/metrics");
  const std::string labels =
      absl::StrCat("grpc_method=\"Echo\",grpc_service=\"", testing::kEchoService, "\",grpc_type=\"unary\"");
  EXPECT_THAT(text, HasSubstr(absl::StrCat("\ngrpc_server_started_total{", labels, "} 2\n")));
  EXPECT_THAT(text,
              HasSubstr(absl::StrCat("\ngrpc_server_handled_total{grpc_code=\"OK\",", labels, "} 1\n")));
  EXPECT_THAT(text, HasSubstr(absl::StrCat("\ngrpc_server_handled_total{grpc_code=\"PermissionDenied\",",
                                           labels, "} 1\n")));
  EXPECT_THAT(text, HasSubstr(absl::StrCat("\ngrpc_server_handling_seconds_count{", labels, "} 2\n")));
  EXPECT_THAT(text, HasSubstr("\nprocess_resident_memory_bytes "));
  // Bounded: nobody's name is a label.
  EXPECT_THAT(text, Not(HasSubstr("gw-1")));
}

TEST_F(ServerTest, TheHttpPortTellsHealthAndReadiness) {
  server_.AddService(api_.Bind());
  absl::Mutex mutex;
  absl::Status database = absl::UnavailableError("connection refused");
  server_.AddReadinessCheck("database", [&] {
    absl::MutexLock lock(&mutex);
    return database;
  });
  server_.Start();
  int code = 0;
  server_.HttpGet("/healthz", &code);
  EXPECT_EQ(code, 200);
  EXPECT_EQ(server_.HttpGet("/readyz", &code), "database: UNAVAILABLE: connection refused\n");
  EXPECT_EQ(code, 503);
  {
    absl::MutexLock lock(&mutex);
    database = absl::OkStatus();
  }
  server_.HttpGet("/readyz", &code);
  EXPECT_EQ(code, 200);
  server_.HttpGet("/secrets", &code);
  EXPECT_EQ(code, 404);
}

TEST_F(ServerTest, AnUnknownMethodIsUnimplemented) {
  Start();
  EXPECT_THAT(RawCall("/countersign.rpc.testing.echo.v1.EchoService/Nothing", ""),
              StatusIs(absl::StatusCode::kUnimplemented));
}

TEST_F(ServerTest, ADrainFinishesRunningCallsAndClosesIdleStreams) {
  absl::Notification started;
  absl::Notification release;
  api_.OnEcho([&](const Call&, const std::string&, std::string* answer) {
    started.Notify();
    release.WaitForNotification();
    *answer = "finished";
    return absl::OkStatus();
  });
  Start();
  auto stub = StubAs(Anna());
  CallContext context(kPatience);
  auto reader = stub->Watch(context.get(), CountRequest());
  reader->WaitForInitialMetadata();
  std::thread caller([&] { EXPECT_THAT(Echo(*stub, ""), IsOkAndHolds("finished")); });
  started.WaitForNotification();
  std::thread drain([this] { server_.server().Drain(); });
  CountResponse response;
  EXPECT_FALSE(reader->Read(&response));
  const absl::Status end = FromGrpc(reader->Finish());
  EXPECT_THAT(end, StatusIs(absl::StatusCode::kUnavailable, "SERVER_DRAINING"));
  EXPECT_NE(RetryDelayOf(end), std::nullopt);
  int code = 0;
  EXPECT_THAT(server_.HttpGet("/readyz", &code), HasSubstr("draining"));
  EXPECT_EQ(code, 503);
  release.Notify();
  caller.join();
  drain.join();
  EXPECT_EQ(api_.open(), 0);
}

TEST_F(ServerTest, ADrainCancelsWhatOutlastsTheGracePeriod) {
  server_.options().grace = absl::ZeroDuration();
  absl::Notification started;
  api_.OnEcho([&](const Call& call, const std::string&, std::string*) {
    started.Notify();
    while (!call.IsCancelled()) std::this_thread::yield();
    return absl::OkStatus();
  });
  Start();
  auto stub = StubAs(Anna());
  std::thread caller([&] { EXPECT_FALSE(Echo(*stub, "").ok()); });
  started.WaitForNotification();
  server_.server().Drain();
  caller.join();
}

TEST_F(ServerTest, SigtermDrainsAndTheServerReturnsOk) {
  TestPki pki;
  ServerOptions options;
  options.tls = pki.TlsFor({Role::kService, "echo"});
  metrics::Registry registry;
  options.registry = &registry;
  options.port_file = pki.folder() + "/ports";
  Server server(options);
  server.AddService(api_.Bind());
  absl::Status status = absl::UnknownError("not run");
  std::thread runner([&] { status = server.RunUntilSignal(); });
  absl::StatusOr<std::string> ports;
  const absl::Time give_up = SystemClock().Now() + kPatience;
  do {
    ASSERT_LT(SystemClock().Now(), give_up);
    ports = ReadFile(options.port_file);
  } while (!ports.ok());
  EXPECT_EQ(*ports, absl::StrCat(server.grpc_port(), " ", server.http_port(), "\n"));
  kill(getpid(), SIGTERM);
  runner.join();
  EXPECT_OK(status);
}

class StartTest : public ServerTest {
 protected:
  absl::Status StartWith(const RoleTable& roles) {
    Server server(server_.options());
    server.AddService(api_.Bind(roles));
    return server.Start();
  }

  static RoleTable RolesBut(const std::string& without, std::vector<RoleTable::Row> more = {}) {
    std::vector<RoleTable::Row> rows = std::move(more);
    for (const auto& [method, row] : testing::EchoRoles().rows()) {
      if (method != without) rows.push_back(row);
    }
    return RoleTable(testing::kEchoService, rows);
  }
};

TEST_F(StartTest, RefusesToStartWhenAMethodHasNoRow) {
  const absl::Status status = StartWith(RolesBut("Sum"));
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition, "ROLE_TABLE_INCOMPLETE"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("Sum has no row"));
}

TEST_F(StartTest, RefusesToStartWhenAnOpenMethodHasNoHandler) {
  const absl::Status status = StartWith(RolesBut("Closed", {{"Closed", {Role::kOperator}}}));
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition, "HANDLERS_DO_NOT_FIT"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("Closed has no handler"));
}

TEST_F(StartTest, RefusesToStartWhenAHandlerDoesNotFitItsMethod) {
  Server server(server_.options());
  auto service = api_.Bind();
  service->Unary<EchoRequest, CountResponse>(
      "Closed", [](const Call&, const EchoRequest&, CountResponse*) { return absl::OkStatus(); });
  service->Unary<EchoRequest, EchoResponse>(
      "Ecko", [](const Call&, const EchoRequest&, EchoResponse*) { return absl::OkStatus(); });
  server.AddService(std::move(service));
  const absl::Status status = server.Start();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition, "HANDLERS_DO_NOT_FIT"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("Closed returns"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("Ecko is no method"));
}

TEST_F(StartTest, RefusesToStartWithFilesOrAddressesThatCannotWork) {
  const ServerOptions good = server_.options();
  const auto start = [](const ServerOptions& options) { return Server(options).Start(); };
  ServerOptions options = good;
  options.tls.key_file = "/nonexistent";
  EXPECT_THAT(start(options), StatusIs(absl::StatusCode::kInvalidArgument, "BAD_TLS_FILES"));
  options = good;
  options.tls.key_file = server_.pki().TlsFor(Anna()).key_file;
  EXPECT_THAT(start(options), StatusIs(absl::StatusCode::kInvalidArgument, "BAD_TLS_FILES"));
  options = good;
  options.tls.trust_domain = "other.example";
  EXPECT_THAT(start(options), StatusIs(absl::StatusCode::kInvalidArgument, "BAD_TLS_FILES"));
  options = good;
  options.listen = "localhost";
  EXPECT_THAT(start(options), StatusIs(absl::StatusCode::kInvalidArgument, "BAD_ADDRESS"));
}

TEST_F(StartTest, RefusesAPortThatIsTaken) {
  Start();
  ServerOptions options = server_.options();
  options.listen = server_.address();
  EXPECT_THAT(Server(options).Start(), StatusIs(absl::StatusCode::kUnavailable, "PORT_UNAVAILABLE"));
  options = server_.options();
  options.http_listen = absl::StrCat("127.0.0.1:", server_.server().http_port());
  EXPECT_THAT(Server(options).Start(), StatusIs(absl::StatusCode::kUnavailable, "PORT_UNAVAILABLE"));
}

}  // namespace
}  // namespace countersign::rpc
