#include "services/rollout/api/failure_watch.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/feed/outbox.h"
#include "common/status/macros.h"
#include "services/rollout/api/convert.h"
#include "services/rollout/storage/outcomes.h"

namespace countersign::rollout {
namespace {

constexpr int kEventsPerRead = 200;

class FailureWatch : public rpc::Producer<v1::WatchFailuresResponse> {
 public:
  FailureWatch(db::Database& database, feed::Tail& tail, std::string token, rpc::Waker waker)
      : database_(database), tail_(tail), waker_(std::move(waker)), token_(std::move(token)) {}

  ~FailureWatch() override {
    if (wait_.has_value()) tail_.Cancel(*wait_);
  }

  absl::StatusOr<rpc::Step> Next(v1::WatchFailuresResponse* response) override {
    if (wait_.has_value()) tail_.Cancel(*std::exchange(wait_, std::nullopt));
    while (true) {
      for (; next_ < page_.events.size(); ++next_) {
        feed::Event& event = page_.events[next_];
        if (event.kind != kFailureKind) continue;  // hints
        ++next_;
        ASSIGN_OR_RETURN(const FailedUpdate failure, DecodeFailure(event.payload));
        response->set_resume_token(std::move(event.token));
        response->set_gateway(failure.gateway);
        response->set_ecu_serial(failure.ecu_serial);
        response->set_rollout(absl::StrCat("rollouts/", failure.rollout));
        response->set_version(failure.version);
        response->set_phase(PhaseOf(failure.state));
        response->set_failure_reason(static_cast<common::v1::FailureReason>(failure.failure_reason));
        response->set_failure_detail(failure.detail);
        const int64_t micros = absl::ToUnixMicros(event.created_at);
        response->mutable_time()->set_seconds(micros / 1'000'000);
        response->mutable_time()->set_nanos(static_cast<int32_t>(micros % 1'000'000) * 1000);
        return rpc::Step::kWrite;
      }
      ASSIGN_OR_RETURN(page_, feed::Read(database_, token_, kEventsPerRead));
      next_ = 0;
      token_ = page_.next_token;
      if (page_.events.empty()) {
        wait_ = tail_.OnNews(token_, [waker = waker_](const absl::Status&) { waker.Wake(); });
        return rpc::Step::kWait;
      }
    }
  }

 private:
  db::Database& database_;
  feed::Tail& tail_;
  const rpc::Waker waker_;
  std::string token_;  // after page_
  feed::Page page_;
  size_t next_ = 0;  // in page_
  std::optional<feed::Tail::WaitId> wait_;
};

}  // namespace

std::unique_ptr<rpc::Producer<v1::WatchFailuresResponse>> NewFailureWatch(db::Database& database,
                                                                          feed::Tail& tail, std::string token,
                                                                          rpc::Waker waker) {
  return std::make_unique<FailureWatch>(database, tail, std::move(token), std::move(waker));
}

}  // namespace countersign::rollout
