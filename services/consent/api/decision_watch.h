#ifndef COUNTERSIGN_SERVICES_CONSENT_API_DECISION_WATCH_H_
#define COUNTERSIGN_SERVICES_CONSENT_API_DECISION_WATCH_H_

#include <deque>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "common/db/database.h"
#include "common/feed/outbox.h"
#include "common/feed/tail.h"
#include "common/rpc/handler.h"
#include "countersign/consent/v1/consent.pb.h"

namespace countersign::consent {

// One WatchDecisions stream: what the outbox has after the token, then what comes.
class DecisionWatch : public rpc::Producer<v1::WatchDecisionsResponse> {
 public:
  DecisionWatch(db::Database& database, feed::Tail& tail, std::string token, rpc::Waker waker)
      : database_(database), tail_(tail), token_(std::move(token)), waker_(std::move(waker)) {}
  ~DecisionWatch() override;

  absl::StatusOr<rpc::Step> Next(v1::WatchDecisionsResponse* response) override;

 private:
  db::Database& database_;
  feed::Tail& tail_;
  std::string token_;
  const rpc::Waker waker_;
  std::deque<feed::Event> events_;
  std::optional<feed::Tail::WaitId> wait_;
};

}  // namespace countersign::consent

#endif  // COUNTERSIGN_SERVICES_CONSENT_API_DECISION_WATCH_H_
