// A real server on loopback with real TLS, and what its clients see.

#include "common/rpc/server.h"

#include <signal.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "common/clock/clock.h"
#include "common/file/file.h"
#include "common/log/log.h"
#include "common/rpc/channel.h"
#include "common/rpc/testing/echo_service.h"
#include "common/rpc/testing/test_server.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/testing/status_matchers.h"
#include "echo/v1/echo.grpc.pb.h"
#include "gmock/gmock.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"

namespace countersign::rpc {
namespace {

using testing::EchoApi;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::TestPki;
using testing::TestServer;
using testing::echo::v1::CountRequest;
using testing::echo::v1::CountResponse;
using testing::echo::v1::EchoRequest;
using testing::echo::v1::EchoResponse;
using testing::echo::v1::EchoService;

const Identity kOperator{Role::kOperator, "anna"};

// Long enough for a machine that does much else; no test waits for it unless it fails.
constexpr absl::Duration kPatience = absl::Seconds(60);

class ServerTest : public ::testing::Test {
 protected:
  void Start() {
    server_.AddService(api_.Bind());
    server_.Start();
  }

  std::unique_ptr<EchoService::Stub> StubAs(const Identity& identity) {
    return EchoService::NewStub(server_.ChannelAs(identity));
  }

  std::unique_ptr<EchoService::Stub> StubWith(const TlsOptions& tls) {
    return EchoService::NewStub(Dialer(tls).Dial(server_.address(), server_.identity()));
  }

  static absl::StatusOr<std::string> Echo(EchoService::Stub& stub, const std::string& text) {
    CallContext context(kPatience);
    EchoRequest request;
    request.set_text(text);
    EchoResponse response;
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
                                      const Identity& identity = kOperator) {
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

TEST_F(ServerTest, AnswersTheRoleThatMayCall) {
  Start();
  EXPECT_THAT(Echo(*StubAs(kOperator), "hello"), IsOkAndHolds("hello"));
  EXPECT_THAT(Echo(*StubAs({Role::kService, "rollout"}), "hello"), IsOkAndHolds("hello"));
}

TEST_F(ServerTest, RefusesEveryOtherRole) {
  Start();
  for (Role role : kAllRoles) {
    if (role == Role::kOperator) continue;
    EXPECT_THAT(Echo(*StubAs({role, "someone"}), "hello"),
                StatusIs(absl::StatusCode::kPermissionDenied, "ROLE_NOT_ALLOWED"))
        << RoleName(role);
  }
}

TEST_F(ServerTest, HandlersKnowWhoCalls) {
  api_.OnEcho([](const Call& call, const std::string&, std::string* answer) {
    *answer = absl::StrCat(call.identity().ToString(), " ", call.method());
    return absl::OkStatus();
  });
  Start();
  EXPECT_THAT(Echo(*StubAs(kOperator), ""),
              IsOkAndHolds(absl::StrCat("operator/anna /", testing::kEchoService, "/Echo")));
}

TEST_F(ServerTest, AClosedMethodAnswersNobody) {
  Start();
  CallContext context(kPatience);
  EchoResponse response;
  EXPECT_THAT(FromGrpc(StubAs(kOperator)->Closed(context.get(), EchoRequest(), &response)),
              StatusIs(absl::StatusCode::kUnimplemented));
}

// FOTA-B, FOTA-C
TEST_F(ServerTest, RefusesAClientWithoutCertificate) {
  Start();
  grpc::SslCredentialsOptions options;
  ASSERT_OK_AND_ASSIGN(options.pem_root_certs, ReadFile(server_.pki().TlsFor(kOperator).ca_file));
  auto stub = EchoService::NewStub(grpc::CreateChannel(
      absl::StrCat("localhost:", server_.server().grpc_port()), grpc::SslCredentials(options)));
  EXPECT_THAT(Echo(*stub, "hello"), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(ServerTest, RefusesAClientWithoutTls) {
  Start();
  auto stub =
      EchoService::NewStub(grpc::CreateChannel(server_.address(), grpc::InsecureChannelCredentials()));
  EXPECT_THAT(Echo(*stub, "hello"), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(ServerTest, RefusesAClientOfAnotherAuthority) {
  Start();
  TestPki other;
  TlsOptions tls = other.TlsFor(kOperator);
  tls.ca_file = server_.pki().TlsFor(kOperator).ca_file;
  EXPECT_THAT(Echo(*StubWith(tls), "hello"), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(ServerTest, RefusesAnExpiredCertificate) {
  Start();
  const TlsOptions tls = server_.pki().TlsFor(
      "expired", Leaf({kOperator.ToUri("test.example")}, SystemClock().Now() - absl::Hours(1)));
  EXPECT_THAT(Echo(*StubWith(tls), "hello"), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(ServerTest, RefusesAnotherTrustDomain) {
  Start();
  const TlsOptions tls = server_.pki().TlsFor("foreign", Leaf({kOperator.ToUri("evil.example")}));
  EXPECT_THAT(Echo(*StubWith(tls), "hello"), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(ServerTest, RefusesACertificateWithTwoIdentities) {
  Start();
  const TlsOptions tls = server_.pki().TlsFor(
      "two", Leaf({Identity{Role::kGateway, "gw-1"}.ToUri("test.example"), kOperator.ToUri("test.example")}));
  EXPECT_THAT(Echo(*StubWith(tls), "hello"), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(ServerTest, RefusesACertificateWithoutIdentity) {
  Start();
  const TlsOptions tls = server_.pki().TlsFor("none", Leaf({}));
  EXPECT_THAT(Echo(*StubWith(tls), "hello"), StatusIs(absl::StatusCode::kUnavailable));
}

// FOTA-B
TEST_F(ServerTest, AClientRefusesAServerThatIsAnotherService) {
  int calls = 0;
  api_.OnEcho([&calls](const Call&, const std::string&, std::string*) {
    ++calls;
    return absl::OkStatus();
  });
  Start();
  Dialer dialer(server_.pki().TlsFor(kOperator));
  auto stub = EchoService::NewStub(dialer.Dial(server_.address(), {Role::kService, "inventory"}));
  const absl::StatusOr<std::string> answer = Echo(*stub, "secret");
  EXPECT_THAT(answer, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(std::string(answer.status().message()), HasSubstr("service/echo and not service/inventory"));
  EXPECT_EQ(calls, 0);
}

TEST_F(ServerTest, AClientRefusesAServerOfAnotherAuthority) {
  Start();
  TestPki other;
  EXPECT_THAT(Echo(*StubWith(other.TlsFor(kOperator)), "secret"), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(ServerTest, AnotherRoleThanServiceCanBeTheServer) {
  TestPki pki;
  TestServer backend(Identity{Role::kManufacturer, "acme"}, &pki);
  EchoApi api;
  backend.AddService(api.Bind());
  backend.Start();
  EXPECT_THAT(Echo(*EchoService::NewStub(backend.ChannelAs(kOperator)), "hello"), IsOkAndHolds("hello"));
}

TEST_F(ServerTest, AServerReadsItsNewCertificateWithoutARestart) {
  Start();
  // What a client sees as the server's certificate.
  const auto seen = [this] {
    auto stub = StubAs(kOperator);
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

TEST_F(ServerTest, AClientReadsItsNewCertificateWithoutARestart) {
  Start();
  // At first a gateway's, which may not call; then in the same files an operator's.
  const TlsOptions tls = server_.pki().TlsFor("rotating", Leaf({"spiffe://test.example/gateway/gw-1"}));
  Dialer dialer(tls);
  auto before = EchoService::NewStub(dialer.Dial(server_.address(), server_.identity()));
  ASSERT_THAT(Echo(*before, ""), StatusIs(absl::StatusCode::kPermissionDenied));
  const crypto::CertificateAndKey after = Leaf({kOperator.ToUri("test.example")});
  ASSERT_OK(WriteFileAtomically(tls.key_file, after.key_pem));
  ASSERT_OK(WriteFileAtomically(tls.certificate_file, after.certificate_pem));
  const absl::Time give_up = SystemClock().Now() + kPatience;
  while (!Echo(*EchoService::NewStub(dialer.Dial(server_.address(), server_.identity())), "").ok()) {
    ASSERT_LT(SystemClock().Now(), give_up);
  }
}

TEST_F(ServerTest, ErrorDetailsCrossTheWire) {
  api_.OnEcho([](const Call&, const std::string&, std::string*) {
    return WithRetryDelay(Error(absl::StatusCode::kResourceExhausted, "QUOTA_USED_UP",
                                "wait for the next window", {{"quota", "5"}}),
                          absl::Seconds(7));
  });
  Start();
  const absl::Status status = Echo(*StubAs(kOperator), "").status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted, "QUOTA_USED_UP"));
  EXPECT_EQ(status.message(), "wait for the next window");
  EXPECT_EQ(ErrorInfoOf(status)->metadata.at("quota"), "5");
  EXPECT_EQ(RetryDelayOf(status), absl::Seconds(7));
}

TEST_F(ServerTest, InternalErrorsTellOnlyACorrelationIdThatTheLogHas) {
  api_.OnEcho([](const Call&, const std::string&, std::string*) {
    return absl::InternalError("password is hunter2\nat db:5432");
  });
  Start();
  auto stub = StubAs(kOperator);
  ::testing::internal::CaptureStderr();
  absl::Status status;
  {
    const log::ScopedRequestId scope("id-17");
    status = Echo(*stub, "").status();
  }
  const std::string logged = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInternal, "INTERNAL"));
  EXPECT_EQ(status.message(), "internal error, correlation id id-17");
  EXPECT_THAT(status.ToString(), Not(HasSubstr("hunter2")));
  EXPECT_THAT(logged, HasSubstr("hunter2\\nat db:5432"));
  EXPECT_THAT(logged, HasSubstr("\"request_id\":\"id-17\""));
}

TEST_F(ServerTest, ARequestIdIsTakenOverAndGivenBack) {
  api_.OnEcho([](const Call& call, const std::string&, std::string* answer) {
    *answer = absl::StrCat(call.request_id(), " ", log::CurrentRequestId());
    return absl::OkStatus();
  });
  Start();
  auto stub = StubAs(kOperator);
  const auto call = [&stub](const std::string& id, std::string* echoed) {
    CallContext context(kPatience);
    if (!id.empty()) context->AddMetadata("x-request-id", id);
    EchoResponse response;
    EXPECT_OK(FromGrpc(stub->Echo(context.get(), EchoRequest(), &response)));
    const auto found = context->GetServerInitialMetadata().find("x-request-id");
    EXPECT_NE(found, context->GetServerInitialMetadata().end());
    *echoed = std::string(found->second.data(), found->second.size());
    return response.text();
  };
  std::string echoed;
  EXPECT_EQ(call("abc-1", &echoed), "abc-1 abc-1");
  EXPECT_EQ(echoed, "abc-1");
  // Nothing that could break a log line, or that is too long, is taken over.
  for (const std::string& bad :
       {std::string(), std::string("a b"), std::string("{\"x\":1}"), std::string(129, 'a')}) {
    const std::string answer = call(bad, &echoed);
    EXPECT_EQ(echoed.size(), 32u);
    EXPECT_EQ(answer, absl::StrCat(echoed, " ", echoed));
  }
}

TEST_F(ServerTest, ACallWithoutDeadlineGetsOne) {
  absl::Duration left;
  api_.OnEcho([&left](const Call& call, const std::string&, std::string*) {
    left = call.deadline() - SystemClock().Now();
    return absl::OkStatus();
  });
  Start();
  auto stub = StubAs(kOperator);
  CallContext context(absl::InfiniteFuture());
  EchoResponse response;
  ASSERT_OK(FromGrpc(stub->Echo(context.get(), EchoRequest(), &response)));
  EXPECT_GT(left, absl::Seconds(1));
  EXPECT_LE(left, absl::Seconds(60));
}

TEST_F(ServerTest, TheClientsDeadlineEndsACallAndTheHandlerSeesIt) {
  absl::Notification seen;
  api_.OnEcho([&seen](const Call& call, const std::string&, std::string*) {
    while (!call.IsCancelled()) std::this_thread::yield();
    seen.Notify();
    return absl::OkStatus();
  });
  Start();
  auto stub = StubAs(kOperator);
  CallContext context(absl::Milliseconds(500));
  EchoResponse response;
  EXPECT_THAT(FromGrpc(stub->Echo(context.get(), EchoRequest(), &response)),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_TRUE(seen.WaitForNotificationWithTimeout(kPatience));
}

TEST_F(ServerTest, AHandlerSeesThatItsClientCancelled) {
  absl::Notification started;
  absl::Notification seen;
  api_.OnEcho([&](const Call& call, const std::string&, std::string*) {
    started.Notify();
    while (!call.IsCancelled()) std::this_thread::yield();
    seen.Notify();
    return absl::OkStatus();
  });
  Start();
  auto stub = StubAs(kOperator);
  CallContext context(kPatience);
  std::thread canceller([&] {
    started.WaitForNotification();
    context->TryCancel();
  });
  EchoResponse response;
  EXPECT_THAT(FromGrpc(stub->Echo(context.get(), EchoRequest(), &response)),
              StatusIs(absl::StatusCode::kCancelled));
  canceller.join();
  EXPECT_TRUE(seen.WaitForNotificationWithTimeout(kPatience));
}

TEST_F(ServerTest, AFullQueueAnswersResourceExhaustedWithADelay) {
  server_.options().threads = 1;
  server_.options().max_queued_calls = 1;
  absl::Notification release;
  absl::Notification started;
  api_.OnEcho([&](const Call&, const std::string& text, std::string*) {
    if (text == "first") started.Notify();
    release.WaitForNotification();
    return absl::OkStatus();
  });
  Start();
  auto stub = StubAs(kOperator);
  std::thread first([&] { EXPECT_OK(Echo(*stub, "first")); });
  started.WaitForNotification();
  // Of three more, one waits in the queue and two find it full.
  absl::Mutex mutex;
  int refused = 0;
  int served = 0;
  std::vector<std::thread> more;
  for (int i = 0; i < 3; ++i) {
    more.emplace_back([&] {
      const absl::Status status = Echo(*stub, "more").status();
      absl::MutexLock lock(&mutex);
      if (status.ok()) {
        ++served;
        return;
      }
      ++refused;
      EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted, "SERVER_BUSY"));
      EXPECT_NE(RetryDelayOf(status), std::nullopt);
    });
  }
  {
    absl::MutexLock lock(&mutex);
    const auto two = [&] { return refused == 2; };
    EXPECT_TRUE(mutex.AwaitWithTimeout(absl::Condition(&two), kPatience));
  }
  release.Notify();
  first.join();
  for (std::thread& thread : more) thread.join();
  EXPECT_EQ(served, 1);
}

TEST_F(ServerTest, AnAsyncHandlerAnswersLaterFromAnotherThread) {
  Start();
  auto stub = StubAs(kOperator);
  const auto call = [&stub](const std::string& text) -> absl::StatusOr<std::string> {
    CallContext context(kPatience);
    EchoRequest request;
    request.set_text(text);
    EchoResponse response;
    RETURN_IF_ERROR(FromGrpc(stub->EchoLater(context.get(), request, &response)));
    return response.text();
  };
  std::thread caller([&] { EXPECT_THAT(call("later"), IsOkAndHolds("later")); });
  api_.AwaitLater(1);
  EXPECT_EQ(api_.AnswerAll(absl::OkStatus()), 1);
  caller.join();
  EXPECT_THAT(call("dropped"), StatusIs(absl::StatusCode::kInternal));
}

TEST_F(ServerTest, AServerStreamSendsAllMessagesInOrder) {
  Start();
  auto stub = StubAs(kOperator);
  CallContext context(kPatience);
  CountRequest request;
  request.set_up_to(1000);
  auto reader = stub->Count(context.get(), request);
  CountResponse response;
  for (int i = 1; i <= 1000; ++i) {
    ASSERT_TRUE(reader->Read(&response));
    ASSERT_EQ(response.number(), i);
  }
  EXPECT_FALSE(reader->Read(&response));
  EXPECT_OK(FromGrpc(reader->Finish()));
}

TEST_F(ServerTest, AProducersErrorEndsItsStream) {
  Start();
  auto stub = StubAs(kOperator);
  CallContext context(kPatience);
  CountRequest request;
  request.set_up_to(-1);
  auto reader = stub->Count(context.get(), request);
  CountResponse response;
  EXPECT_FALSE(reader->Read(&response));
  EXPECT_THAT(FromGrpc(reader->Finish()), StatusIs(absl::StatusCode::kOutOfRange, "NEGATIVE"));
  CallContext other(kPatience);
  auto refused = stub->Watch(other.get(), request);
  EXPECT_FALSE(refused->Read(&response));
  EXPECT_THAT(FromGrpc(refused->Finish()), StatusIs(absl::StatusCode::kInvalidArgument, "NEGATIVE"));
}

TEST_F(ServerTest, AStreamIsClosedToRolesThatMayNotCall) {
  Start();
  auto stub = StubAs({Role::kGateway, "gw-1"});
  CallContext context(kPatience);
  auto reader = stub->Watch(context.get(), CountRequest());
  CountResponse response;
  EXPECT_FALSE(reader->Read(&response));
  EXPECT_THAT(FromGrpc(reader->Finish()), StatusIs(absl::StatusCode::kPermissionDenied, "ROLE_NOT_ALLOWED"));
  CallContext other(kPatience);
  EchoResponse answer;
  auto writer = stub->Sum(other.get(), &answer);
  writer->WritesDone();
  EXPECT_THAT(FromGrpc(writer->Finish()), StatusIs(absl::StatusCode::kPermissionDenied, "ROLE_NOT_ALLOWED"));
  EXPECT_EQ(api_.open(), 0);
}

TEST_F(ServerTest, BytesThatAreSerialisedAlreadyAreSentAsTheyAre) {
  Start();
  auto stub = StubAs(kOperator);
  CallContext context(kPatience);
  CountRequest request;
  request.set_up_to(3000);  // far more than a stream queues
  auto reader = stub->Download(context.get(), request);
  CountResponse response;
  int count = 0;
  while (reader->Read(&response)) count += response.number() == 42;
  EXPECT_OK(FromGrpc(reader->Finish()));
  EXPECT_EQ(count, 3000);
}

TEST_F(ServerTest, IdleStreamsHoldNoThreadAndWakeWhenThereIsNews) {
  server_.options().threads = 1;
  Start();
  auto stub = StubAs(kOperator);
  constexpr int kStreams = 20;
  std::vector<std::unique_ptr<CallContext>> contexts;
  std::vector<std::unique_ptr<grpc::ClientReader<CountResponse>>> readers;
  for (int i = 0; i < kStreams; ++i) {
    contexts.push_back(std::make_unique<CallContext>(kPatience));
    readers.push_back(stub->Watch(contexts.back()->get(), CountRequest()));
    readers.back()->WaitForInitialMetadata();  // comes before any message
  }
  // The one thread is free for others.
  EXPECT_OK(Echo(*stub, "hello"));
  for (int round = 0; round < 3; ++round) {
    api_.Publish(2);
    for (auto& reader : readers) {
      CountResponse response;
      for (int i = 1; i <= 2; ++i) {
        ASSERT_TRUE(reader->Read(&response));
        EXPECT_EQ(response.number(), 2 * round + i);
      }
    }
  }
  for (auto& context : contexts) (*context)->TryCancel();
  for (auto& reader : readers)
    EXPECT_THAT(FromGrpc(reader->Finish()), StatusIs(absl::StatusCode::kCancelled));
  // Each producer is destroyed when its client is gone.
  api_.AwaitOpen(0);
  api_.Publish(1);
}

TEST_F(ServerTest, NoWakeUpIsLost) {
  Start();
  auto stub = StubAs(kOperator);
  CallContext context(kPatience);
  auto reader = stub->Watch(context.get(), CountRequest());
  constexpr int kMessages = 5000;
  std::thread publisher([this] {
    for (int i = 0; i < kMessages; ++i) api_.Publish(1);
  });
  CountResponse response;
  for (int i = 1; i <= kMessages; ++i) {
    ASSERT_TRUE(reader->Read(&response));
    ASSERT_EQ(response.number(), i);
  }
  publisher.join();
  context->TryCancel();
}

TEST_F(ServerTest, AClientStreamIsConsumedInOrder) {
  Start();
  auto stub = StubAs(kOperator);
  CallContext context(kPatience);
  EchoResponse response;
  auto writer = stub->Sum(context.get(), &response);
  std::string expected;
  for (int i = 0; i < 500; ++i) {
    EchoRequest request;
    request.set_text(absl::StrCat(i, ","));
    expected += request.text();
    ASSERT_TRUE(writer->Write(request));
  }
  writer->WritesDone();
  EXPECT_OK(FromGrpc(writer->Finish()));
  EXPECT_EQ(response.text(), expected);
  api_.AwaitOpen(0);
}

TEST_F(ServerTest, AConsumersErrorEndsTheCallAtOnce) {
  Start();
  auto stub = StubAs(kOperator);
  CallContext context(kPatience);
  EchoResponse response;
  auto writer = stub->Sum(context.get(), &response);
  EchoRequest request;
  request.set_text("bad");
  writer->Write(request);
  // Without WritesDone: the server does not wait for the rest.
  EXPECT_THAT(FromGrpc(writer->Finish()), StatusIs(absl::StatusCode::kInvalidArgument, "BAD_TEXT"));
  api_.AwaitOpen(0);
}

TEST_F(ServerTest, AClientThatGoesAwayLeavesNoConsumerBehind) {
  Start();
  auto stub = StubAs(kOperator);
  CallContext context(kPatience);
  EchoResponse response;
  auto writer = stub->Sum(context.get(), &response);
  EchoRequest request;
  ASSERT_TRUE(writer->Write(request));
  api_.AwaitOpen(1);
  context->TryCancel();
  EXPECT_THAT(FromGrpc(writer->Finish()), StatusIs(absl::StatusCode::kCancelled));
  api_.AwaitOpen(0);
}

TEST_F(ServerTest, AMessageThatIsTooLargeIsRefused) {
  server_.options().max_message_bytes = 1000;
  Start();
  EXPECT_THAT(Echo(*StubAs(kOperator), std::string(2000, 'x')),
              StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST_F(ServerTest, BytesThatAreNoMessageAreRefused) {
  Start();
  // A text that says it has 127 bytes, and ends.
  EXPECT_THAT(RawCall("/countersign.rpc.testing.echo.v1.EchoService/Echo", "\x0a\x7f"),
              StatusIs(absl::StatusCode::kInvalidArgument, "MALFORMED_MESSAGE"));
}

TEST_F(ServerTest, MetricsHaveTheNamesThatDashboardsKnow) {
  Start();
  auto stub = StubAs(kOperator);
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

TEST_F(ServerTest, HealthAnswersAnyIdentityOfTheTrustDomain) {
  Start();
  EXPECT_THAT(RawCall("/grpc.health.v1.Health/Check", "", {Role::kGateway, "gw-1"}),
              IsOkAndHolds("\x08\x01"));  // HealthCheckResponse{status: SERVING}
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
  auto stub = StubAs(kOperator);
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
  auto stub = StubAs(kOperator);
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
  options.tls.key_file = server_.pki().TlsFor(kOperator).key_file;
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
