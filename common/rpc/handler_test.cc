// What clients see of handlers: errors, deadlines, request ids, queues and streams.

#include "common/rpc/handler.h"

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "common/clock/clock.h"
#include "common/log/log.h"
#include "common/rpc/channel.h"
#include "common/rpc/testing/echo_server_test.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
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
using testing::echo::v1::CountRequest;
using testing::echo::v1::CountResponse;
using testing::echo::v1::EchoRequest;
using testing::echo::v1::EchoResponse;
using testing::echo::v1::EchoService;

class HandlerTest : public testing::EchoServerTest {};

TEST_F(HandlerTest, ErrorDetailsCrossTheWire) {
  api_.OnEcho([](const Call&, const std::string&, std::string*) {
    return WithRetryDelay(Error(absl::StatusCode::kResourceExhausted, "QUOTA_USED_UP",
                                "wait for the next window", {{"quota", "5"}}),
                          absl::Seconds(7));
  });
  Start();
  const absl::Status status = Echo(*StubAs(Anna()), "").status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted, "QUOTA_USED_UP"));
  EXPECT_EQ(status.message(), "wait for the next window");
  EXPECT_EQ(ErrorInfoOf(status)->metadata.at("quota"), "5");
  EXPECT_EQ(RetryDelayOf(status), absl::Seconds(7));
}

TEST_F(HandlerTest, InternalErrorsTellOnlyACorrelationIdThatTheLogHas) {
  api_.OnEcho([](const Call&, const std::string&, std::string*) {
    return absl::InternalError("password is hunter2\nat db:5432");
  });
  Start();
  auto stub = StubAs(Anna());
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

TEST_F(HandlerTest, ARequestIdIsTakenOverAndGivenBack) {
  api_.OnEcho([](const Call& call, const std::string&, std::string* answer) {
    *answer = absl::StrCat(call.request_id(), " ", log::CurrentRequestId());
    return absl::OkStatus();
  });
  Start();
  auto stub = StubAs(Anna());
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

TEST_F(HandlerTest, ACallWithoutDeadlineGetsOne) {
  absl::Duration left;
  api_.OnEcho([&left](const Call& call, const std::string&, std::string*) {
    left = call.deadline() - SystemClock().Now();
    return absl::OkStatus();
  });
  Start();
  auto stub = StubAs(Anna());
  CallContext context(absl::InfiniteFuture());
  EchoResponse response;
  ASSERT_OK(FromGrpc(stub->Echo(context.get(), EchoRequest(), &response)));
  EXPECT_GT(left, absl::Seconds(1));
  EXPECT_LE(left, absl::Seconds(60));
}

TEST_F(HandlerTest, TheClientsDeadlineEndsACallAndTheHandlerSeesIt) {
  absl::Notification seen;
  absl::Notification release;
  api_.OnEcho([&](const Call& call, const std::string&, std::string*) {
    while (!call.IsCancelled()) std::this_thread::yield();
    seen.Notify();
    // An answer now could still win against the client's clock.
    release.WaitForNotification();
    return absl::OkStatus();
  });
  Start();
  auto stub = StubAs(Anna());
  ASSERT_TRUE(
      server_.ChannelAs(Anna())->WaitForConnected(absl::ToChronoTime(SystemClock().Now() + kPatience)));
  CallContext context(absl::Seconds(1));
  EchoResponse response;
  EXPECT_THAT(FromGrpc(stub->Echo(context.get(), EchoRequest(), &response)),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_TRUE(seen.WaitForNotificationWithTimeout(kPatience));
  release.Notify();
  server_.server().Drain();  // the handler uses what stands here
}

TEST_F(HandlerTest, AHandlerSeesThatItsClientCancelled) {
  absl::Notification started;
  absl::Notification seen;
  api_.OnEcho([&](const Call& call, const std::string&, std::string*) {
    started.Notify();
    while (!call.IsCancelled()) std::this_thread::yield();
    seen.Notify();
    return absl::OkStatus();
  });
  Start();
  auto stub = StubAs(Anna());
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
  server_.server().Drain();  // the handler uses what stands here
}

TEST_F(HandlerTest, AFullQueueAnswersResourceExhaustedWithADelay) {
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
  auto stub = StubAs(Anna());
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

TEST_F(HandlerTest, AnAsyncHandlerAnswersLaterFromAnotherThread) {
  Start();
  auto stub = StubAs(Anna());
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

TEST_F(HandlerTest, AServerStreamSendsAllMessagesInOrder) {
  Start();
  auto stub = StubAs(Anna());
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

TEST_F(HandlerTest, AProducersErrorEndsItsStream) {
  Start();
  auto stub = StubAs(Anna());
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

TEST_F(HandlerTest, AStreamIsClosedToRolesThatMayNotCall) {
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

TEST_F(HandlerTest, BytesThatAreSerialisedAlreadyAreSentAsTheyAre) {
  Start();
  auto stub = StubAs(Anna());
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

TEST_F(HandlerTest, IdleStreamsHoldNoThreadAndWakeWhenThereIsNews) {
  server_.options().threads = 1;
  Start();
  auto stub = StubAs(Anna());
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

TEST_F(HandlerTest, NoWakeUpIsLost) {
  Start();
  auto stub = StubAs(Anna());
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

TEST_F(HandlerTest, AClientStreamIsConsumedInOrder) {
  Start();
  auto stub = StubAs(Anna());
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

TEST_F(HandlerTest, AConsumersErrorEndsTheCallAtOnce) {
  Start();
  auto stub = StubAs(Anna());
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

TEST_F(HandlerTest, AClientThatGoesAwayLeavesNoConsumerBehind) {
  Start();
  auto stub = StubAs(Anna());
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

TEST_F(HandlerTest, AMessageThatIsTooLargeIsRefused) {
  server_.options().max_message_bytes = 1000;
  Start();
  EXPECT_THAT(Echo(*StubAs(Anna()), std::string(2000, 'x')), StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST_F(HandlerTest, BytesThatAreNoMessageAreRefused) {
  Start();
  // A text that says it has 127 bytes, and ends.
  EXPECT_THAT(RawCall("/countersign.rpc.testing.echo.v1.EchoService/Echo", "\x0a\x7f"),
              StatusIs(absl::StatusCode::kInvalidArgument, "MALFORMED_MESSAGE"));
}

}  // namespace
}  // namespace countersign::rpc
