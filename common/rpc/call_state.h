// The part of a call that is the same for all forms. Internal to common/rpc.
#ifndef COUNTERSIGN_COMMON_RPC_CALL_STATE_H_
#define COUNTERSIGN_COMMON_RPC_CALL_STATE_H_

#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "common/log/log.h"
#include "common/metrics/metrics.h"
#include "common/rpc/handler.h"
#include "common/rpc/runtime.h"
#include "grpcpp/grpcpp.h"

namespace countersign::rpc {

// One method of one server: what does not change from call to call.
struct MethodState {
  MethodState(const RoleTable& role_table, const internal::Method& added, internal::Runtime& shared);

  // Counts one answered call.
  void Count(absl::StatusCode code, double seconds);

  const internal::Method method;
  const RoleTable& roles;
  internal::Runtime& runtime;
  const std::string full_name;  // "/package.Service/Method"; gRPC keeps the pointer
  const std::string type;       // "unary", "server_stream", "client_stream"
  const metrics::Counter started;
  const metrics::Histogram seconds;

 private:
  absl::Mutex mutex_;
  std::array<std::optional<metrics::Counter>, 17> handled_ ABSL_GUARDED_BY(mutex_);
};

// What a Done refers to. It lives on when the call is over.
struct Done::Pending {
  explicit Pending(std::function<void(absl::Status)> answer) : answer_(std::move(answer)) {}
  ~Pending();
  void Answer(absl::Status status);

 private:
  absl::Mutex mutex_;
  std::function<void(absl::Status)> answer_ ABSL_GUARDED_BY(mutex_);
};

// What a Waker refers to, while the stream is open.
struct Waker::Target {
  explicit Target(std::function<void()> wake_stream) : wake(std::move(wake_stream)) {}
  absl::Mutex mutex;
  std::function<void()> wake ABSL_GUARDED_BY(mutex);  // empty once the stream is over
};

// The base of the reactors. Begin() comes first and Conclude() last.
class CallState {
 protected:
  using WakerTarget = Waker::Target;

  CallState(MethodState& method, grpc::CallbackServerContext* context) : method_(method) {
    call_.context_ = context;
  }

  // Identity, role, request id, deadline. What is not OK is the answer.
  absl::Status Begin();

  // Whether the body may still run: CANCELLED or DEADLINE_EXCEEDED when nobody waits any more.
  absl::Status CheckAlive() const;

  // Counts and logs the end of the call, and gives what may be said of `status` to the client. Once.
  grpc::Status Conclude(const absl::Status& status);

  static Done MakeDone(std::function<void(absl::Status)> answer) {
    return Done(std::make_shared<Done::Pending>(std::move(answer)));
  }
  static std::shared_ptr<Waker::Target> MakeTarget(std::function<void()> wake) {
    return std::make_shared<Waker::Target>(std::move(wake));
  }
  static Waker MakeWaker(const std::shared_ptr<Waker::Target>& target) { return Waker(target); }
  static void Disarm(Waker::Target& target) {
    absl::MutexLock lock(&target.mutex);
    target.wake = nullptr;
  }

  const internal::Method& method() const { return method_.method; }
  internal::Runtime& runtime() const { return method_.runtime; }
  const Call& call() const { return call_; }

 private:
  MethodState& method_;
  Call call_;
  std::chrono::steady_clock::time_point start_;
};

absl::Status Parse(const grpc::ByteBuffer& bytes, const internal::AnyMessage& message);
absl::Status Serialize(const internal::AnyMessage& message, grpc::ByteBuffer& bytes);

}  // namespace countersign::rpc

#endif  // COUNTERSIGN_COMMON_RPC_CALL_STATE_H_
