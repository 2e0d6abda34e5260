#include "common/rpc/server_stream_call.h"

#include <deque>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/rpc/status_grpc.h"
#include "common/status/errors.h"

namespace countersign::rpc {
namespace {

// How far a producer may run ahead of the transport. Wide enough that small messages go out in batches and
// that the next piece of a download is read while the last is written; narrow enough that a slow reader costs
// little.
constexpr size_t kMaxQueuedMessages = 64;
constexpr size_t kMaxQueuedBytes = 512 * 1024;

class ServerStreamCall final : public grpc::ServerWriteReactor<grpc::ByteBuffer>, private CallState {
 public:
  ServerStreamCall(MethodState& method, grpc::CallbackServerContext* context, const grpc::ByteBuffer* request)
      : CallState(method, context),
        request_bytes_(request),
        target_(MakeTarget([this] { OnWake(); })),
        close_if_waiting_([this] { CloseIfWaiting(); }) {
    runtime().streams.Add(&close_if_waiting_);
  }

  void Start() {
    if (absl::Status status = Begin(); !status.ok()) return EndBeforePull(status);
    if (absl::Status status = runtime().executor.TrySubmit([this] { Pull(); }); !status.ok()) {
      EndBeforePull(status);
    }
  }

  void OnWriteDone(bool ok) override {
    Advance([this, ok]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      writing_ = false;
      if (!ok) cancelled_ = true;
    });
  }

  void OnCancel() override {
    Advance([this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { cancelled_ = true; });
  }

  void OnDone() override {
    // From here on no wake-up and no drain reaches this object.
    Disarm(*target_);
    runtime().streams.Remove(&close_if_waiting_);
    // The producer's destructor may take locks that gRPC's threads should not wait for.
    runtime().executor.Submit([producer = std::shared_ptr<internal::AnyProducer>(std::move(producer_))] {});
    delete this;
  }

 private:
  void OnWake() {
    Advance([this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      woken_ = true;
      waiting_ = false;
    });
  }

  void CloseIfWaiting() {
    Advance([this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      if (waiting_ && !end_.has_value()) end_ = internal::Draining();
    });
  }

  void EndBeforePull(const absl::Status& status) {
    Advance([this, &status]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      pulling_ = false;
      end_ = status;
    });
  }

  // Every event goes through here: `change` and the decision what to do next happen under one lock; what is
  // decided is done without it, since gRPC may answer at once. Each deed keeps the object alive until its own
  // event: a write until OnWriteDone, a pull until it calls Advance, and Finish is decided only when neither
  // is under way.
  template <typename Change>
  void Advance(const Change& change) {
    bool write = false;
    bool more_follows = false;
    bool pull = false;
    std::optional<absl::Status> finish;
    Executor& executor = runtime().executor;
    {
      absl::MutexLock lock(&mutex_);
      change();
      if (finished_) return;
      if (cancelled_) queue_.clear();
      if (!writing_ && !queue_.empty()) {
        current_.Swap(&queue_.front());
        queue_.pop_front();
        queued_bytes_ -= current_.Length();
        writing_ = write = true;
        more_follows = !queue_.empty();
      }
      const bool ended = end_.has_value() || cancelled_;
      if (!pulling_ && !waiting_ && !ended && 2 * queue_.size() <= kMaxQueuedMessages &&
          2 * queued_bytes_ <= kMaxQueuedBytes) {
        pulling_ = pull = true;
      }
      if (ended && !writing_ && !pulling_) {
        finished_ = true;
        finish = end_.has_value() && (!cancelled_ || !end_->ok()) ? *end_ : CancelledStatus();
      }
    }
    if (write) {
      grpc::WriteOptions options;
      if (more_follows) options.set_buffer_hint();
      StartWrite(&current_, options);
    }
    if (pull) executor.Submit([this] { Pull(); });
    if (finish.has_value()) Finish(Conclude(*finish));
  }

  absl::Status CancelledStatus() const {
    const absl::Status status = CheckAlive();
    if (!status.ok()) return status;
    return Error(absl::StatusCode::kCancelled, "CANCELLED", "the client went away");
  }

  absl::Status Open() {
    if (absl::Status status = CheckAlive(); !status.ok()) return status;
    const internal::AnyMessage request = method().request.create();
    if (absl::Status status = Parse(*request_bytes_, request); !status.ok()) return status;
    absl::StatusOr<std::unique_ptr<internal::AnyProducer>> producer =
        method().server_stream(call(), request, MakeWaker(target_));
    if (!producer.ok()) return producer.status();
    producer_ = *std::move(producer);
    return absl::OkStatus();
  }

  // On the executor, one at a time: asks the producer until it has nothing, has ended, or is far enough
  // ahead.
  void Pull() {
    const log::ScopedRequestId scope(call().request_id());
    if (producer_ == nullptr) {
      if (absl::Status status = Open(); !status.ok()) return EndBeforePull(status);
    }
    const internal::AnyMessage message = method().response.create();
    for (size_t pulled = 0; pulled < kMaxQueuedMessages; ++pulled) {
      {
        absl::MutexLock lock(&mutex_);
        if (cancelled_ || queue_.size() >= kMaxQueuedMessages || queued_bytes_ >= kMaxQueuedBytes) break;
        woken_ = false;  // before Next looks: a wake-up during it makes it look again
      }
      if (message.proto() != nullptr) message.proto()->Clear();
      absl::StatusOr<Step> step = producer_->Next(message);
      grpc::ByteBuffer bytes;
      absl::Status status = step.status();
      if (step.ok() && *step == Step::kWrite) status = Serialize(message, bytes);
      if (!status.ok() || *step == Step::kEnd) return EndBeforePull(status);
      if (*step == Step::kWait) {
        // A client that waits for news learns at once that the stream is open. Before the first write, so
        // that it cannot meet one.
        if (!std::exchange(begun_, true)) StartSendInitialMetadata();
        return Advance([this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
          pulling_ = false;
          waiting_ = !woken_;
          // Nothing comes to an end by waiting: a drain has to end it.
          if (waiting_ && runtime().draining.load()) end_ = internal::Draining();
        });
      }
      begun_ = true;
      Advance([this, &bytes]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
        queued_bytes_ += bytes.Length();
        queue_.emplace_back();
        queue_.back().Swap(&bytes);
      });
    }
    Advance([this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { pulling_ = false; });
  }

  const grpc::ByteBuffer* const request_bytes_;
  const std::shared_ptr<WakerTarget> target_;
  const std::function<void()> close_if_waiting_;
  std::unique_ptr<internal::AnyProducer> producer_;  // used by Pull, and by OnDone when there is no Pull
  bool begun_ = false;        // initial metadata went out or goes with a write; used by Pull
  grpc::ByteBuffer current_;  // being written while writing_

  absl::Mutex mutex_;
  std::deque<grpc::ByteBuffer> queue_ ABSL_GUARDED_BY(mutex_);
  size_t queued_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool pulling_ ABSL_GUARDED_BY(mutex_) = true;   // a Pull is queued or runs; Start begins with one
  bool waiting_ ABSL_GUARDED_BY(mutex_) = false;  // the producer has nothing until it is woken
  bool woken_ ABSL_GUARDED_BY(mutex_) = false;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<absl::Status> end_ ABSL_GUARDED_BY(mutex_);  // what to end with, once the queue is written
};

}  // namespace

grpc::ServerWriteReactor<grpc::ByteBuffer>* StartServerStreamCall(MethodState& method,
                                                                  grpc::CallbackServerContext* context,
                                                                  const grpc::ByteBuffer* request) {
  auto* call = new ServerStreamCall(method, context, request);
  call->Start();
  return call;
}

}  // namespace countersign::rpc
