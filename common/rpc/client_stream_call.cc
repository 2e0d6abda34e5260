#include "common/rpc/client_stream_call.h"

#include <deque>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/status/errors.h"

namespace countersign::rpc {
namespace {

// How far the client may run ahead of the consumer, beyond what the transport buffers.
constexpr size_t kMaxQueuedMessages = 64;
constexpr size_t kMaxQueuedBytes = 512 * 1024;

class ClientStreamCall final : public grpc::ServerReadReactor<grpc::ByteBuffer>, private CallState {
 public:
  ClientStreamCall(MethodState& method, grpc::CallbackServerContext* context, grpc::ByteBuffer* response)
      : CallState(method, context), response_bytes_(response) {}

  void Start() {
    absl::Status status = Begin();
    if (status.ok()) status = runtime().executor.TrySubmit([this] { Work(); });
    if (!status.ok()) End(status);
  }

  void OnReadDone(bool ok) override {
    Advance([this, ok]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      reading_ = false;
      if (!ok) {
        at_end_ = true;
        return;
      }
      queued_bytes_ += incoming_.Length();
      queue_.emplace_back();
      queue_.back().Swap(&incoming_);
    });
  }

  void OnCancel() override {
    Advance([this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { cancelled_ = true; });
  }

  void OnDone() override {
    // What the consumer gives up may be a file: not on gRPC's thread.
    runtime().executor.Submit([consumer = std::shared_ptr<internal::AnyConsumer>(std::move(consumer_))] {});
    delete this;
  }

 private:
  void End(const absl::Status& status) {
    Advance([this, &status]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      working_ = false;
      end_ = status;
    });
  }

  // As in ServerStreamCall: decide under the lock, act without it.
  template <typename Change>
  void Advance(const Change& change) {
    bool read = false;
    bool work = false;
    std::optional<absl::Status> finish;
    Executor& executor = runtime().executor;
    {
      absl::MutexLock lock(&mutex_);
      change();
      if (finished_) return;
      const bool ended = end_.has_value() || cancelled_;
      if (!reading_ && !at_end_ && !ended && opened_ && queue_.size() < kMaxQueuedMessages &&
          queued_bytes_ < kMaxQueuedBytes) {
        reading_ = read = true;
      }
      if (!working_ && !ended && opened_ && (!queue_.empty() || at_end_)) working_ = work = true;
      if (ended && !working_) {
        finished_ = true;
        finish = end_.has_value() ? *end_ : CancelledStatus();
      }
    }
    // A read may be under way when the call finishes: gRPC then ends it before OnDone.
    if (read) StartRead(&incoming_);
    if (work) executor.Submit([this] { Work(); });
    if (finish.has_value()) Finish(Conclude(*finish));
  }

  absl::Status CancelledStatus() const {
    const absl::Status status = CheckAlive();
    if (!status.ok()) return status;
    return Error(absl::StatusCode::kCancelled, "CANCELLED", "the client went away");
  }

  absl::Status Open() {
    if (absl::Status status = CheckAlive(); !status.ok()) return status;
    absl::StatusOr<std::unique_ptr<internal::AnyConsumer>> consumer = method().client_stream(call());
    if (!consumer.ok()) return consumer.status();
    consumer_ = *std::move(consumer);
    return absl::OkStatus();
  }

  absl::Status Consume(const grpc::ByteBuffer& bytes) {
    const internal::AnyMessage message = method().request.create();
    if (absl::Status status = Parse(bytes, message); !status.ok()) return status;
    return consumer_->OnMessage(message);
  }

  absl::Status Complete() {
    // The stream ends for a client that says so and for one that vanished: only the first has a right to an
    // answer.
    if (absl::Status status = CheckAlive(); !status.ok()) return status;
    const internal::AnyMessage response = method().response.create();
    if (absl::Status status = consumer_->OnEnd(response); !status.ok()) return status;
    return Serialize(response, *response_bytes_);
  }

  // On the executor, one at a time: gives the consumer what has come.
  void Work() {
    const log::ScopedRequestId scope(call().request_id());
    if (consumer_ == nullptr) {
      if (absl::Status status = Open(); !status.ok()) return End(status);
      return Advance([this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
        opened_ = true;
        working_ = false;
      });
    }
    std::deque<grpc::ByteBuffer> messages;
    bool last = false;
    {
      absl::MutexLock lock(&mutex_);
      messages.swap(queue_);
      queued_bytes_ = 0;
      last = at_end_;
    }
    Advance([] {});  // there is room again: read on while the consumer works
    for (const grpc::ByteBuffer& message : messages) {
      if (absl::Status status = Consume(message); !status.ok()) return End(status);
    }
    if (last) return End(Complete());
    Advance([this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { working_ = false; });
  }

  grpc::ByteBuffer* const response_bytes_;
  std::unique_ptr<internal::AnyConsumer> consumer_;  // used by Work, and by OnDone when there is no Work
  grpc::ByteBuffer incoming_;                        // being read into while reading_

  absl::Mutex mutex_;
  std::deque<grpc::ByteBuffer> queue_ ABSL_GUARDED_BY(mutex_);
  size_t queued_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  bool opened_ ABSL_GUARDED_BY(mutex_) = false;
  bool reading_ ABSL_GUARDED_BY(mutex_) = false;
  bool working_ ABSL_GUARDED_BY(mutex_) = true;  // a Work is queued or runs; Start begins with one
  bool at_end_ ABSL_GUARDED_BY(mutex_) = false;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<absl::Status> end_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

grpc::ServerReadReactor<grpc::ByteBuffer>* StartClientStreamCall(MethodState& method,
                                                                 grpc::CallbackServerContext* context,
                                                                 grpc::ByteBuffer* response) {
  auto* call = new ClientStreamCall(method, context, response);
  call->Start();
  return call;
}

}  // namespace countersign::rpc
