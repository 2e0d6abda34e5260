#include "services/inventory/workers/followers.h"

#include <string>
#include <utility>
#include <vector>

#include "common/feed/follower_metrics.h"
#include "common/status/macros.h"

namespace countersign::inventory {

constexpr feed::FollowerMetrics kFeedMetrics = {"countersign_inventory_feed_lag_seconds",
                                                "countersign_inventory_feed_events_total"};
namespace {

absl::Status TakeAll(PublishedImages& images, PackageStoreClient& package_store, std::stop_token stop) {
  RETURN_IF_ERROR(package_store.ListAll(
      [&images](const std::vector<Publication>& publications) { return images.TakeAll(publications); },
      stop));
  return images.SetComplete();
}

}  // namespace

feed::Follower::Options PackageFollower(PublishedImages& images, PackageStoreClient& package_store,
                                        metrics::Registry& registry, std::function<void()> on_change) {
  feed::Follower::Options options;
  options.source = "package-store";
  options.watch = [&images, &package_store, on_change](const std::string& token,
                                                       const feed::Follower::Sink& sink,
                                                       std::stop_token stop) -> absl::Status {
    if (token.empty()) {
      RETURN_IF_ERROR(TakeAll(images, package_store, stop));
      on_change();
    }
    return package_store.Watch(token, sink, stop);
  };
  options.apply = [&images](db::Transaction& tx, const feed::Event& event) -> absl::Status {
    ASSIGN_OR_RETURN(const Publication publication, PackageStoreClient::PublicationOf(event));
    return images.Take(tx, publication);
  };
  // "" lists all again before it watches.
  options.resync = [](std::stop_token) -> absl::StatusOr<std::string> { return std::string(); };
  options.observer = feed::MeasuredFollower(kFeedMetrics, "package-store", registry, std::move(on_change));
  return options;
}

feed::Follower::Options FailureFollower(Orders& orders, RolloutClient& rollout, metrics::Registry& registry,
                                        std::function<void()> on_change) {
  const metrics::CounterFamily failures =
      registry.AddCounter("countersign_inventory_update_failures_total",
                          "Updates that failed, by phase and reason.", {"phase", "reason"});
  feed::Follower::Options options;
  options.source = "rollout";
  options.watch = [&rollout](const std::string& token, const feed::Follower::Sink& sink,
                             std::stop_token stop) { return rollout.Watch(token, sink, stop); };
  options.apply = [&orders, failures](db::Transaction& tx, const feed::Event& event) -> absl::Status {
    ASSIGN_OR_RETURN(const UpdateOutcome outcome, RolloutClient::OutcomeOf(event));
    RETURN_IF_ERROR(orders.TakeFailure(tx, outcome));
    failures.With({outcome.failure.phase, outcome.failure.reason}).Increment();
    return absl::OkStatus();
  };
  options.observer = feed::MeasuredFollower(kFeedMetrics, "rollout", registry, std::move(on_change));
  return options;
}

}  // namespace countersign::inventory
