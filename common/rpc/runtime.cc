#include "common/rpc/runtime.h"

#include <random>
#include <utility>

#include "common/rpc/call_state.h"
#include "common/rpc/client_stream_call.h"
#include "common/rpc/server_stream_call.h"
#include "common/rpc/status_grpc.h"
#include "common/rpc/unary_call.h"
#include "common/status/errors.h"
#include "grpcpp/grpcpp.h"
#include "grpcpp/impl/codegen/server_callback_handlers.h"

namespace countersign::rpc::internal {
namespace {

using grpc::internal::RpcMethod;
using grpc::internal::RpcServiceMethod;

// Clients of a server that goes away come back over this much time, not all at once.
constexpr int kMinReconnectMillis = 100;
constexpr int kMaxReconnectMillis = 3000;

const std::vector<std::string>& MethodLabels() {
  static const auto& labels = *new std::vector<std::string>{"grpc_type", "grpc_service", "grpc_method"};
  return labels;
}

// Every message crosses gRPC as bytes, so that one set of reactors, compiled once, serves all methods.
class GrpcService final : public grpc::Service {
 public:
  GrpcService(const RoleTable& roles, const std::vector<Method>& methods, Runtime& runtime) {
    for (const Method& method : methods) {
      methods_.push_back(std::make_unique<MethodState>(roles, method, runtime));
      Bind(*methods_.back());
    }
  }

 private:
  void Bind(MethodState& state) {
    using grpc::ByteBuffer;
    RpcMethod::RpcType type = RpcMethod::NORMAL_RPC;
    grpc::internal::MethodHandler* handler = nullptr;
    switch (state.method.kind) {
      case Kind::kUnary:
      case Kind::kAsyncUnary:
        handler = new grpc::internal::CallbackUnaryHandler<ByteBuffer, ByteBuffer>(
            [&state](grpc::CallbackServerContext* context, const ByteBuffer* request, ByteBuffer* response) {
              return StartUnaryCall(state, context, request, response);
            });
        break;
      case Kind::kServerStream:
        type = RpcMethod::SERVER_STREAMING;
        handler = new grpc::internal::CallbackServerStreamingHandler<ByteBuffer, ByteBuffer>(
            [&state](grpc::CallbackServerContext* context, const ByteBuffer* request) {
              return StartServerStreamCall(state, context, request);
            });
        break;
      case Kind::kClientStream:
        type = RpcMethod::CLIENT_STREAMING;
        handler = new grpc::internal::CallbackClientStreamingHandler<ByteBuffer, ByteBuffer>(
            [&state](grpc::CallbackServerContext* context, ByteBuffer* response) {
              return StartClientStreamCall(state, context, response);
            });
        break;
    }
    AddMethod(new RpcServiceMethod(state.full_name.c_str(), type, nullptr));
    MarkMethodRawCallback(static_cast<int>(methods_.size()) - 1, handler);
  }

  std::vector<std::unique_ptr<MethodState>> methods_;
};

}  // namespace

void OpenStreams::Add(const std::function<void()>* close_if_waiting) {
  absl::MutexLock lock(&mutex_);
  streams_.insert(close_if_waiting);
}

void OpenStreams::Remove(const std::function<void()>* close_if_waiting) {
  absl::MutexLock lock(&mutex_);
  streams_.erase(close_if_waiting);
}

void OpenStreams::CloseWaiting() {
  absl::MutexLock lock(&mutex_);
  for (const std::function<void()>* close_if_waiting : streams_) (*close_if_waiting)();
}

Runtime::Runtime(Executor& shared_executor, std::string domain, metrics::Registry& registry)
    : executor(shared_executor),
      trust_domain(std::move(domain)),
      started(registry.AddCounter("grpc_server_started_total", "Total number of RPCs started on the server.",
                                  MethodLabels())),
      handled(registry.AddCounter(
          "grpc_server_handled_total",
          "Total number of RPCs completed on the server, regardless of success or failure.",
          {"grpc_type", "grpc_service", "grpc_method", "grpc_code"})),
      seconds(registry.AddHistogram("grpc_server_handling_seconds",
                                    "Response latency (seconds) of RPCs handled by the server.",
                                    MethodLabels())) {}

absl::Status Draining() {
  thread_local std::mt19937 generator{std::random_device{}()};
  const int millis = std::uniform_int_distribution<int>(kMinReconnectMillis, kMaxReconnectMillis)(generator);
  return WithRetryDelay(Error(absl::StatusCode::kUnavailable, "SERVER_DRAINING",
                              "the server is shutting down; connect again after the delay"),
                        absl::Milliseconds(millis));
}

std::unique_ptr<grpc::Service> MakeGrpcService(const RoleTable& roles, const std::vector<Method>& methods,
                                               Runtime& runtime) {
  return std::make_unique<GrpcService>(roles, methods, runtime);
}

}  // namespace countersign::rpc::internal
