#include "common/rpc/unary_call.h"

#include <utility>

namespace countersign::rpc {
namespace {

class UnaryCall final : public grpc::ServerUnaryReactor, private CallState {
 public:
  UnaryCall(MethodState& method, grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
            grpc::ByteBuffer* response)
      : CallState(method, context),
        request_bytes_(request),
        response_bytes_(response),
        request_(method.method.request.create()),
        response_(method.method.response.create()) {}

  void Start() {
    if (absl::Status status = Begin(); !status.ok()) return Answer(status);
    if (method().options.run_inline) return Run();
    if (absl::Status status = runtime().executor.TrySubmit([this] { Run(); }); !status.ok()) Answer(status);
  }

  void OnDone() override { delete this; }

 private:
  void Run() {
    const log::ScopedRequestId scope(call().request_id());
    absl::Status status = CheckAlive();
    if (status.ok()) status = Parse(*request_bytes_, request_);
    if (!status.ok()) return Answer(status);
    if (method().kind == internal::Kind::kUnary) return Answer(method().unary(call(), request_, response_));
    method().async_unary(call(), request_, response_,
                         MakeDone([this](absl::Status status) { Answer(status); }));
  }

  // The last thing that touches this object: gRPC may delete it as soon as it has the status.
  void Answer(absl::Status status) {
    if (status.ok()) status = Serialize(response_, *response_bytes_);
    Finish(Conclude(status));
  }

  const grpc::ByteBuffer* const request_bytes_;
  grpc::ByteBuffer* const response_bytes_;
  const internal::AnyMessage request_;
  const internal::AnyMessage response_;
};

}  // namespace

grpc::ServerUnaryReactor* StartUnaryCall(MethodState& method, grpc::CallbackServerContext* context,
                                         const grpc::ByteBuffer* request, grpc::ByteBuffer* response) {
  // It may be answered from another thread before Start returns, but not deleted before gRPC has the pointer.
  auto* call = new UnaryCall(method, context, request, response);
  call->Start();
  return call;
}

}  // namespace countersign::rpc
