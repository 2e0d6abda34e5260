#include "tools/fleet/stream.h"

#include <utility>

#include "absl/synchronization/notification.h"
#include "common/rpc/status_grpc.h"
#include "countersign/rollout/v1/rollout.grpc.pb.h"
#include "grpcpp/grpcpp.h"

namespace countersign::fleet {

namespace v1 = ::countersign::rollout::v1;

class HintStream::Reader final : public grpc::ClientReadReactor<v1::StreamHintsResponse> {
 public:
  Reader(const std::shared_ptr<grpc::Channel>& channel, std::function<void()> on_hint,
         std::function<void(absl::Status)> on_end)
      : stub_(v1::RolloutService::NewStub(channel)),
        on_hint_(std::move(on_hint)),
        on_end_(std::move(on_end)) {
    stub_->async()->StreamHints(&context_, &request_, this);
    StartRead(&hint_);
    StartCall();
  }

  void OnReadDone(bool ok) override {
    if (!ok) return;
    on_hint_();
    StartRead(&hint_);
  }
  void OnDone(const grpc::Status& status) override {
    on_end_(rpc::FromGrpc(status));
    done_.Notify();
  }

  void End() {
    context_.TryCancel();
    done_.WaitForNotification();
  }

 private:
  const std::unique_ptr<v1::RolloutService::Stub> stub_;
  const v1::StreamHintsRequest request_;
  v1::StreamHintsResponse hint_;
  grpc::ClientContext context_;
  const std::function<void()> on_hint_;
  const std::function<void(absl::Status)> on_end_;
  absl::Notification done_;
};

HintStream::HintStream(const std::shared_ptr<grpc::Channel>& channel, std::function<void()> on_hint,
                       std::function<void(absl::Status)> on_end)
    : reader_(std::make_unique<Reader>(channel, std::move(on_hint), std::move(on_end))) {}

HintStream::~HintStream() { reader_->End(); }

}  // namespace countersign::fleet
