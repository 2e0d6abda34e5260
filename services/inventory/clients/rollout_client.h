#ifndef COUNTERSIGN_SERVICES_INVENTORY_CLIENTS_ROLLOUT_CLIENT_H_
#define COUNTERSIGN_SERVICES_INVENTORY_CLIENTS_ROLLOUT_CLIENT_H_

#include <memory>
#include <stop_token>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/feed/follower.h"
#include "common/rpc/channel.h"
#include "services/inventory/storage/orders.h"

namespace countersign::inventory {

// What became of updates (FOTA-P1). Thread-safe; blocks.
class RolloutClient {
 public:
  // `address` is host:port. Connects when first used.
  RolloutClient(const rpc::Dialer& dialer, absl::string_view address);
  ~RolloutClient();

  // For feed::Follower: updates that fail; OutcomeOf() reads the events.
  absl::Status Watch(const std::string& token, const feed::Follower::Sink& sink, std::stop_token stop);
  static absl::StatusOr<UpdateOutcome> OutcomeOf(const feed::Event& event);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace countersign::inventory

#endif  // COUNTERSIGN_SERVICES_INVENTORY_CLIENTS_ROLLOUT_CLIENT_H_
