#include "services/consent/api/decision_watch.h"

#include "absl/strings/str_cat.h"
#include "common/status/macros.h"

namespace countersign::consent {
namespace {

constexpr int kEventsPerRead = 200;

}  // namespace

DecisionWatch::~DecisionWatch() {
  if (wait_) tail_.Cancel(*wait_);
}

absl::StatusOr<rpc::Step> DecisionWatch::Next(v1::WatchDecisionsResponse* response) {
  if (events_.empty()) {
    ASSIGN_OR_RETURN(feed::Page page, feed::Read(database_, token_, kEventsPerRead));
    for (feed::Event& event : page.events) events_.push_back(std::move(event));
    token_ = page.next_token;
  }
  if (events_.empty()) {
    if (wait_) tail_.Cancel(*wait_);
    wait_ = tail_.OnNews(token_, [waker = waker_](const absl::Status&) { waker.Wake(); });
    return rpc::Step::kWait;
  }
  const feed::Event event = std::move(events_.front());
  events_.pop_front();
  response->set_resume_token(event.token);
  if (!response->mutable_record()->ParseFromString(event.payload)) {
    return absl::InternalError(absl::StrCat("the outbox event of ", event.key, " is no record"));
  }
  return rpc::Step::kWrite;
}

}  // namespace countersign::consent
