#include "services/inventory/api/streams.h"

#include <optional>
#include <utility>

#include "common/feed/outbox.h"
#include "common/status/macros.h"
#include "services/inventory/api/convert.h"

namespace countersign::inventory {
namespace {

constexpr int kEventsPerRead = 200;

class ComponentChanges : public rpc::Producer<v1::WatchComponentsResponse> {
 public:
  ComponentChanges(db::Database& database, feed::Tail& tail, std::string token, rpc::Waker waker)
      : database_(database), tail_(tail), waker_(std::move(waker)), token_(std::move(token)) {}

  ~ComponentChanges() override {
    if (wait_.has_value()) tail_.Cancel(*wait_);
  }

  absl::StatusOr<rpc::Step> Next(v1::WatchComponentsResponse* response) override {
    if (wait_.has_value()) tail_.Cancel(*std::exchange(wait_, std::nullopt));
    while (next_ == page_.events.size()) {
      ASSIGN_OR_RETURN(page_, feed::Read(database_, token_, kEventsPerRead));
      next_ = 0;
      token_ = page_.next_token;
      if (page_.events.empty()) {
        wait_ = tail_.OnNews(token_, [waker = waker_](const absl::Status&) { waker.Wake(); });
        return rpc::Step::kWait;
      }
    }
    feed::Event& event = page_.events[next_++];
    if (!response->mutable_component()->ParseFromString(event.payload)) {
      return absl::InternalError("an event of the outbox cannot be read");
    }
    response->set_resume_token(std::move(event.token));
    *response->mutable_change_time() = ToProto(event.created_at);
    return rpc::Step::kWrite;
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

std::unique_ptr<rpc::Producer<v1::WatchComponentsResponse>> NewComponentChanges(db::Database& database,
                                                                                feed::Tail& tail,
                                                                                std::string token,
                                                                                rpc::Waker waker) {
  return std::make_unique<ComponentChanges>(database, tail, std::move(token), std::move(waker));
}

}  // namespace countersign::inventory
