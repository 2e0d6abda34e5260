// Orders of the Director to stop: handed to the devices, and to a program for those that do not obey
// (FOTA-R3).
#ifndef COUNTERSIGN_TOOLS_GATEWAY_QUARANTINE_H_
#define COUNTERSIGN_TOOLS_GATEWAY_QUARANTINE_H_

#include <map>
#include <set>
#include <string>

#include "countersign/device/v1/device.pb.h"
#include "tools/gateway/incidents.h"
#include "tools/gateway/reporter.h"
#include "tools/gateway/state.h"

namespace countersign::gateway {

// Not thread-safe.
class Quarantine {
 public:
  // `hook` is the path of a program, or empty. It is called as `hook cut|restore DEVICE_ID ECU_SERIAL`, has
  // 30 seconds, and says with status 0 that it is done. `incidents` and `state` outlive it.
  Quarantine(std::string hook, Incidents* incidents, State* state)
      : hook_(std::move(hook)), incidents_(*incidents), state_(*state) {}

  // Has the devices of the `present` components stop those that are in `ordered` and resume the others, by
  // `orders`, which are the Director's metadata. Whether some device changed: a new manifest confirms it.
  bool Apply(const std::set<std::string>& ordered, const device::v1::ApplyOrdersRequest& orders,
             const std::map<std::string, PresentComponent>& present);

 private:
  // Whether it did.
  bool RunHook(const std::string& verb, const std::string& device_id, const std::string& ecu_serial);

  const std::string hook_;
  Incidents& incidents_;
  State& state_;
};

}  // namespace countersign::gateway

#endif  // COUNTERSIGN_TOOLS_GATEWAY_QUARANTINE_H_
