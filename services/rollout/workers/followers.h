#ifndef COUNTERSIGN_SERVICES_ROLLOUT_WORKERS_FOLLOWERS_H_
#define COUNTERSIGN_SERVICES_ROLLOUT_WORKERS_FOLLOWERS_H_

#include <functional>

#include "common/feed/follower.h"
#include "common/metrics/metrics.h"
#include "services/rollout/clients/consent_client.h"
#include "services/rollout/clients/inventory_client.h"
#include "services/rollout/clients/package_store_client.h"
#include "services/rollout/storage/ended_packages.h"
#include "services/rollout/storage/rollout_store.h"
#include "services/rollout/workers/consent_asker.h"

// What moves assignments from outside, each event with its effect once: the position of the source is stored
// in the transaction of the effect. All that is given must outlive the followers that are made with it;
// `on_change`, called after each batch that did something, must not block.
namespace countersign::rollout {

// Users' decisions, also those that take a grant back (PLUS-2).
feed::Follower::Options DecisionFollower(RolloutStore& store, ConsentClient& consent, ConsentAsker& asker,
                                         metrics::Registry& registry, std::function<void()> on_change);

// Packages that are published, revoked and withdrawn (SC-MA).
feed::Follower::Options PackageFollower(EndedPackages& ended, PackageStoreClient& package_store,
                                        metrics::Registry& registry, std::function<void()> on_change);

// Components' verified reports: what completes an update (FOTA-H).
feed::Follower::Options ComponentFollower(RolloutStore& store, InventoryClient& inventory,
                                          metrics::Registry& registry, std::function<void()> on_change);

}  // namespace countersign::rollout

#endif  // COUNTERSIGN_SERVICES_ROLLOUT_WORKERS_FOLLOWERS_H_
