#ifndef COUNTERSIGN_SERVICES_INVENTORY_API_STREAMS_H_
#define COUNTERSIGN_SERVICES_INVENTORY_API_STREAMS_H_

#include <memory>
#include <string>

#include "common/db/database.h"
#include "common/feed/tail.h"
#include "common/rpc/handler.h"
#include "countersign/inventory/v1/inventory.pb.h"

namespace countersign::inventory {

// The outbox after `token`, for ever. `database` and `tail` must outlive it.
std::unique_ptr<rpc::Producer<v1::WatchComponentsResponse>> NewComponentChanges(db::Database& database,
                                                                                feed::Tail& tail,
                                                                                std::string token,
                                                                                rpc::Waker waker);

}  // namespace countersign::inventory

#endif  // COUNTERSIGN_SERVICES_INVENTORY_API_STREAMS_H_
