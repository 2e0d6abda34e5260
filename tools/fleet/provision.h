// Makes the gateways and devices of a fleet known to the inventory.
#ifndef COUNTERSIGN_TOOLS_FLEET_PROVISION_H_
#define COUNTERSIGN_TOOLS_FLEET_PROVISION_H_

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/crypto/public_key.h"
#include "tools/fleet/plan.h"

namespace grpc {
class Channel;
}

namespace countersign::fleet {

struct ProvisionOptions {
  std::string seed;
  crypto::KeyType key_type = crypto::KeyType::kEd25519;
  int at_once = 16;  // calls under way
};

// Creates every gateway of `plan` and its devices, one for each component, as whoever `inventory` is the
// channel of. What is there already is left as it is, provided that it is the same: FAILED_PRECONDITION
// (OTHER_FLEET) when an id is taken by a gateway with another key. Whoever was interrupted calls it again.
// `done` counts gateways; setting `stop` ends it early, with CANCELLED.
absl::Status Provision(const std::vector<GatewayPlan>& plan, const std::vector<Product>& products,
                       const ProvisionOptions& options, const std::shared_ptr<grpc::Channel>& inventory,
                       std::atomic<int>& done, const std::atomic<bool>& stop);

}  // namespace countersign::fleet

#endif  // COUNTERSIGN_TOOLS_FLEET_PROVISION_H_
