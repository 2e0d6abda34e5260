#ifndef COUNTERSIGN_SERVICES_ROLLOUT_CLIENTS_INVENTORY_CLIENT_H_
#define COUNTERSIGN_SERVICES_ROLLOUT_CLIENTS_INVENTORY_CLIENT_H_

#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/feed/follower.h"
#include "common/rpc/channel.h"
#include "services/rollout/domain/assignment.h"

namespace countersign::rollout {

// What the inventory knows of components. Thread-safe; blocks.
class InventoryClient {
 public:
  InventoryClient(const rpc::Dialer& dialer, absl::string_view address);
  ~InventoryClient();

  // OK if the inventory understands `filter`. INVALID_ARGUMENT (FILTER_INVALID), UNAVAILABLE
  // (INVENTORY_UNAVAILABLE).
  absl::Status CheckFilter(const std::string& filter, absl::Time deadline);

  // Gives all components that `filter` selects to `take`, some hundred at once. An error of `take` ends it
  // and is returned; so is the stream's own.
  using Take = std::function<absl::Status(std::vector<Component> components)>;
  absl::Status StreamComponents(const std::string& filter, const Take& take, std::stop_token stop);

  // For feed::Follower: events whose payload ComponentOf() reads.
  absl::Status Watch(const std::string& token, const feed::Follower::Sink& sink, std::stop_token stop);
  static absl::StatusOr<Component> ComponentOf(const feed::Event& event);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace countersign::rollout

#endif  // COUNTERSIGN_SERVICES_ROLLOUT_CLIENTS_INVENTORY_CLIENT_H_
