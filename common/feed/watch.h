#ifndef COUNTERSIGN_COMMON_FEED_WATCH_H_
#define COUNTERSIGN_COMMON_FEED_WATCH_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "common/db/database.h"
#include "common/feed/outbox.h"
#include "common/feed/tail.h"
#include "common/rpc/handler.h"
#include "common/status/macros.h"

// For the handlers of services that have a Watch stream.
namespace countersign::feed {

// One Watch stream: what the outbox has after a token, then what comes, for ever.
template <typename Response>
class Watch : public rpc::Producer<Response> {
 public:
  // Fills the response from an event, resume token included; false when the event is none of this stream's.
  using Convert = std::function<absl::StatusOr<bool>(Event& event, Response* response)>;

  // `database` and `tail` outlive it.
  Watch(db::Database& database, Tail& tail, std::string token, rpc::Waker waker, Convert convert)
      : database_(database),
        tail_(tail),
        waker_(std::move(waker)),
        convert_(std::move(convert)),
        token_(std::move(token)) {}

  ~Watch() override {
    if (wait_.has_value()) tail_.Cancel(*wait_);
  }

  absl::StatusOr<rpc::Step> Next(Response* response) override {
    if (wait_.has_value()) tail_.Cancel(*std::exchange(wait_, std::nullopt));
    while (true) {
      while (next_ < page_.events.size()) {
        ASSIGN_OR_RETURN(const bool ours, convert_(page_.events[next_++], response));
        if (ours) return rpc::Step::kWrite;
      }
      constexpr int kEventsPerRead = 200;
      ASSIGN_OR_RETURN(page_, Read(database_, token_, kEventsPerRead));
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
  Tail& tail_;
  const rpc::Waker waker_;
  const Convert convert_;
  std::string token_;  // after page_
  Page page_;
  size_t next_ = 0;  // in page_
  std::optional<Tail::WaitId> wait_;
};

}  // namespace countersign::feed

#endif  // COUNTERSIGN_COMMON_FEED_WATCH_H_
