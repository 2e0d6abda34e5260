#include "common/rpc/testing/echo_service.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/errors.h"
#include "grpcpp/support/byte_buffer.h"

namespace countersign::rpc::testing {

using echo::v1::CountRequest;
using echo::v1::CountResponse;
using echo::v1::EchoRequest;
using echo::v1::EchoResponse;

const RoleTable& EchoRoles() {
  static const auto& table = *new RoleTable(kEchoService, {
                                                              {"Echo", {Role::kOperator}, {"rollout"}},
                                                              {"EchoLater", {Role::kOperator}},
                                                              {"Count", {Role::kOperator}},
                                                              {"Watch", {Role::kOperator}},
                                                              {"Download", {Role::kOperator}},
                                                              {"Sum", {Role::kOperator}},
                                                              {"Closed", {}},
                                                          });
  return table;
}

// 1, 2, 3, up to the number that was asked for.
class EchoApi::Counter final : public Producer<CountResponse> {
 public:
  explicit Counter(int64_t up_to) : up_to_(up_to) {}
  absl::StatusOr<Step> Next(CountResponse* response) override {
    if (up_to_ < 0) return Error(absl::StatusCode::kOutOfRange, "NEGATIVE", "count up");
    if (next_ > up_to_) return Step::kEnd;
    response->set_number(next_++);
    return Step::kWrite;
  }

 private:
  const int64_t up_to_;
  int64_t next_ = 1;
};

// The same, as bytes of this many KiB.
class EchoApi::Downloader final : public Producer<grpc::ByteBuffer> {
 public:
  explicit Downloader(int64_t up_to) : left_(up_to) {}
  absl::StatusOr<Step> Next(grpc::ByteBuffer* response) override {
    if (left_-- == 0) return Step::kEnd;
    const grpc::Slice number("\x08\x2a", 2);  // CountResponse{number: 42}
    const grpc::Slice padding(std::string("\xfa\x07\x80\x08", 4) +
                              std::string(1024, 'x'));  // unknown field 127
    const grpc::Slice slices[] = {number, padding};
    grpc::ByteBuffer(slices, 2).Swap(response);
    return Step::kWrite;
  }

 private:
  int64_t left_;
};

// Each number when it has been published.
class EchoApi::Watcher final : public Producer<CountResponse> {
 public:
  explicit Watcher(EchoApi* api) : api_(api) {}
  ~Watcher() override {
    absl::MutexLock lock(&api_->mutex_);
    --api_->open_;
  }
  absl::StatusOr<Step> Next(CountResponse* response) override {
    absl::MutexLock lock(&api_->mutex_);
    if (sent_ == api_->published_) return Step::kWait;
    response->set_number(++sent_);
    return Step::kWrite;
  }

 private:
  EchoApi* const api_;
  int64_t sent_ = 0;
};

// Joins all texts.
class EchoApi::Summer final : public Consumer<EchoRequest, EchoResponse> {
 public:
  explicit Summer(EchoApi* api) : api_(api) {}
  ~Summer() override {
    absl::MutexLock lock(&api_->mutex_);
    --api_->open_;
  }
  absl::Status OnMessage(const EchoRequest& request) override {
    if (request.text() == "bad") return Error(absl::StatusCode::kInvalidArgument, "BAD_TEXT", "not this");
    absl::StrAppend(&text_, request.text());
    return absl::OkStatus();
  }
  absl::Status OnEnd(EchoResponse* response) override {
    response->set_text(text_);
    return absl::OkStatus();
  }

 private:
  EchoApi* const api_;
  std::string text_;
};

std::unique_ptr<Service> EchoApi::Bind(const RoleTable& roles) {
  auto service = std::make_unique<Service>(roles);
  service->Unary("Echo", this, &EchoApi::DoEcho);
  service->AsyncUnary("EchoLater", this, &EchoApi::EchoLater, {.run_inline = true});
  service->ServerStream("Count", this, &EchoApi::Count);
  service->ServerStream("Watch", this, &EchoApi::Watch);
  service->ServerStream("Download", this, &EchoApi::Download);
  service->ClientStream("Sum", this, &EchoApi::Sum);
  return service;
}

void EchoApi::OnEcho(Echo echo) {
  absl::MutexLock lock(&mutex_);
  echo_ = std::move(echo);
}

int EchoApi::AnswerAll(const absl::Status& status) {
  std::vector<std::function<void(const absl::Status&)>> later;
  {
    absl::MutexLock lock(&mutex_);
    later.swap(later_);
  }
  for (const auto& answer : later) answer(status);
  return static_cast<int>(later.size());
}

void EchoApi::Publish(int count) {
  std::vector<Waker> wakers;
  {
    absl::MutexLock lock(&mutex_);
    published_ += count;
    wakers = wakers_;
  }
  for (const Waker& waker : wakers) waker.Wake();
}

int EchoApi::open() const {
  absl::MutexLock lock(&mutex_);
  return open_;
}

void EchoApi::AwaitOpen(int count) const {
  absl::MutexLock lock(&mutex_);
  const auto reached = [this, count]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return open_ == count; };
  mutex_.Await(absl::Condition(&reached));
}

void EchoApi::AwaitLater(int count) const {
  absl::MutexLock lock(&mutex_);
  const auto reached = [this, count]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return static_cast<int>(later_.size()) == count;
  };
  mutex_.Await(absl::Condition(&reached));
}

absl::Status EchoApi::DoEcho(const Call& call, const EchoRequest& request, EchoResponse* response) {
  Echo echo;
  {
    absl::MutexLock lock(&mutex_);
    echo = echo_;
  }
  if (echo != nullptr) return echo(call, request.text(), response->mutable_text());
  response->set_text(request.text());
  return absl::OkStatus();
}

void EchoApi::EchoLater(const Call&, const EchoRequest& request, EchoResponse* response, Done done) {
  if (request.text() == "dropped") return;
  absl::MutexLock lock(&mutex_);
  later_.push_back([&request, response, done](const absl::Status& status) {
    response->set_text(request.text());
    done(status);
  });
}

absl::StatusOr<std::unique_ptr<Producer<CountResponse>>> EchoApi::Count(const Call&,
                                                                        const CountRequest& request, Waker) {
  return std::make_unique<Counter>(request.up_to());
}

absl::StatusOr<std::unique_ptr<Producer<CountResponse>>> EchoApi::Watch(const Call&,
                                                                        const CountRequest& request,
                                                                        Waker waker) {
  if (request.up_to() < 0) return Error(absl::StatusCode::kInvalidArgument, "NEGATIVE", "count up");
  absl::MutexLock lock(&mutex_);
  wakers_.push_back(std::move(waker));
  ++open_;
  return std::make_unique<Watcher>(this);
}

absl::StatusOr<std::unique_ptr<Producer<grpc::ByteBuffer>>> EchoApi::Download(const Call&,
                                                                              const CountRequest& request,
                                                                              Waker) {
  return std::make_unique<Downloader>(request.up_to());
}

absl::StatusOr<std::unique_ptr<Consumer<EchoRequest, EchoResponse>>> EchoApi::Sum(const Call&) {
  absl::MutexLock lock(&mutex_);
  ++open_;
  return std::make_unique<Summer>(this);
}

}  // namespace countersign::rpc::testing
