#include "services/rollout/workers/followers.h"

#include <utility>
#include <vector>

#include "common/feed/follower_metrics.h"
#include "common/log/log.h"
#include "common/status/macros.h"

namespace countersign::rollout {

constexpr feed::FollowerMetrics kFeedMetrics = {"countersign_rollout_feed_lag_seconds",
                                                "countersign_rollout_feed_events_total"};
feed::Follower::Options DecisionFollower(RolloutStore& store, ConsentClient& consent, ConsentAsker& asker,
                                         metrics::Registry& registry, std::function<void()> on_change) {
  feed::Follower::Options options;
  options.source = "consent";
  options.watch = [&consent](const std::string& token, const feed::Follower::Sink& sink,
                             std::stop_token stop) { return consent.Watch(token, sink, stop); };
  options.apply = [&store, &consent](db::Transaction& tx, const feed::Event& event) -> absl::Status {
    const absl::StatusOr<ConsentDecision> decision = consent.DecisionOf(event);
    if (!decision.ok()) {
      // It would stop every decision after it; what it may have granted stays without consent.
      log::Error("consent decision refused", {{"assignment", event.key}, {"status", decision.status()}});
      return absl::OkStatus();
    }
    return store.Decide(tx, *decision);
  };
  options.resync = [&asker](std::stop_token stop) -> absl::StatusOr<std::string> {
    RETURN_IF_ERROR(asker.AskAgain(stop));
    return std::string();
  };
  options.observer = feed::MeasuredFollower(kFeedMetrics, "consent", registry, std::move(on_change));
  return options;
}

feed::Follower::Options PackageFollower(EndedPackages& ended, PackageStoreClient& package_store,
                                        metrics::Registry& registry, std::function<void()> on_change) {
  feed::Follower::Options options;
  options.source = "package-store";
  options.watch = [&package_store](const std::string& token, const feed::Follower::Sink& sink,
                                   std::stop_token stop) { return package_store.Watch(token, sink, stop); };
  options.apply = [&ended](db::Transaction& tx, const feed::Event& event) -> absl::Status {
    ASSIGN_OR_RETURN(const PackageNews news, PackageStoreClient::NewsOf(event));
    return ended.Take(tx, news);
  };
  options.resync = [&ended, &package_store](std::stop_token stop) -> absl::StatusOr<std::string> {
    RETURN_IF_ERROR(package_store.ListAll(
        [&ended](const std::vector<PackageNews>& news) { return ended.TakeAll(news); }, stop));
    return std::string();
  };
  options.observer = feed::MeasuredFollower(kFeedMetrics, "package-store", registry, std::move(on_change));
  return options;
}

feed::Follower::Options ComponentFollower(RolloutStore& store, InventoryClient& inventory,
                                          metrics::Registry& registry, std::function<void()> on_change) {
  feed::Follower::Options options;
  options.source = "inventory";
  options.watch = [&inventory](const std::string& token, const feed::Follower::Sink& sink,
                               std::stop_token stop) { return inventory.Watch(token, sink, stop); };
  options.apply = [&store](db::Transaction& tx, const feed::Event& event) -> absl::Status {
    ASSIGN_OR_RETURN(const Component component, InventoryClient::ComponentOf(event));
    return store.TakeComponent(tx, component);
  };
  options.resync = [&store, &inventory](std::stop_token stop) -> absl::StatusOr<std::string> {
    RETURN_IF_ERROR(inventory.StreamComponents(
        "", [&store](std::vector<Component> components) { return store.TakeComponents(components); }, stop));
    return std::string();
  };
  options.observer = feed::MeasuredFollower(kFeedMetrics, "inventory", registry, std::move(on_change));
  return options;
}

}  // namespace countersign::rollout
