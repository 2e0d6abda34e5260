// What the gateway's user asks of the services, and tells them.
#ifndef COUNTERSIGN_TOOLS_GATEWAY_WEB_SERVICES_H_
#define COUNTERSIGN_TOOLS_GATEWAY_WEB_SERVICES_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tools/gateway/web/acts.h"
#include "tools/gateway/web/home.h"

namespace grpc {
class Channel;
}

namespace countersign::gateway {

struct ServiceChannels {
  std::shared_ptr<grpc::Channel> consent, inventory, liaison, rollout;
};

// Calls to the services. Thread-safe. Every call has its deadline.
class Services {
 public:
  explicit Services(ServiceChannels channels, absl::Duration call_timeout = absl::Seconds(10))
      : channels_(std::move(channels)), call_timeout_(call_timeout) {}

  // Brings `facts` up to date with everything that the services say, but for the offers; leaves it as it is
  // when one of them cannot be reached.
  absl::Status Refresh(HomeFacts* facts) const;

  // What the manufacturers of the components in `facts` offer.
  absl::Status FindOffers(HomeFacts* facts) const;

  // Tells a user's decision.
  absl::Status Send(const Act& act) const;

 private:
  const ServiceChannels channels_;
  const absl::Duration call_timeout_;
};

}  // namespace countersign::gateway

#endif  // COUNTERSIGN_TOOLS_GATEWAY_WEB_SERVICES_H_
