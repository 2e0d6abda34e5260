#ifndef COUNTERSIGN_SERVICES_ROLLOUT_API_FAILURE_WATCH_H_
#define COUNTERSIGN_SERVICES_ROLLOUT_API_FAILURE_WATCH_H_

#include <memory>
#include <string>

#include "common/db/database.h"
#include "common/feed/tail.h"
#include "common/rpc/handler.h"
#include "countersign/rollout/v1/rollout.pb.h"

namespace countersign::rollout {

// The failures that the outbox has after `token`, then those that come. `database` and `tail` must outlive
// it.
std::unique_ptr<rpc::Producer<v1::WatchFailuresResponse>> NewFailureWatch(db::Database& database,
                                                                          feed::Tail& tail, std::string token,
                                                                          rpc::Waker waker);

}  // namespace countersign::rollout

#endif  // COUNTERSIGN_SERVICES_ROLLOUT_API_FAILURE_WATCH_H_
