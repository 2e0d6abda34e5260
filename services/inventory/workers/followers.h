#ifndef COUNTERSIGN_SERVICES_INVENTORY_WORKERS_FOLLOWERS_H_
#define COUNTERSIGN_SERVICES_INVENTORY_WORKERS_FOLLOWERS_H_

#include <functional>

#include "common/feed/follower.h"
#include "common/metrics/metrics.h"
#include "services/inventory/clients/package_store_client.h"
#include "services/inventory/clients/rollout_client.h"
#include "services/inventory/storage/orders.h"
#include "services/inventory/storage/published_images.h"

// What the inventory takes from others' feeds, each event with its effect once: the position is stored in the
// transaction of the effect. All that is given must outlive the followers that are made with it; `on_change`,
// called after each batch that did something, must not block.
namespace countersign::inventory {

// What is published and revoked (FOTA-R2). Before the first event all that is there is listed: the feed does
// not go back to the beginning.
feed::Follower::Options PackageFollower(PublishedImages& images, PackageStoreClient& package_store,
                                        metrics::Registry& registry, std::function<void()> on_change);

// Updates that fail (FOTA-P1).
feed::Follower::Options FailureFollower(Orders& orders, RolloutClient& rollout, metrics::Registry& registry,
                                        std::function<void()> on_change);

}  // namespace countersign::inventory

#endif  // COUNTERSIGN_SERVICES_INVENTORY_WORKERS_FOLLOWERS_H_
