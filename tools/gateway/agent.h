// The agent's loop: watches the local network, keeps the inventory informed, and looks for updates, by itself
// and when it is hinted at (HOME-1, FOTA-B, FOTA-D).
#ifndef COUNTERSIGN_TOOLS_GATEWAY_AGENT_H_
#define COUNTERSIGN_TOOLS_GATEWAY_AGENT_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "tools/gateway/link.h"
#include "tools/gateway/reporter.h"
#include "tools/gateway/state.h"
#include "tools/gateway/updater.h"

namespace grpc {
class Channel;
}

namespace countersign::gateway {

// When to try again: longer after each failure, and not when everybody else does.
class Backoff {
 public:
  Backoff(absl::Duration first, absl::Duration longest) : first_(first), longest_(longest) {}

  bool due(absl::Time now) const { return now >= next_; }
  void Failed(absl::Time now);
  void Succeeded() { failures_ = 0, next_ = absl::InfinitePast(); }
  absl::Time next() const { return next_; }

 private:
  const absl::Duration first_;
  const absl::Duration longest_;
  int failures_ = 0;
  absl::Time next_ = absl::InfinitePast();
};

struct AgentOptions {
  std::string lan;  // folder of the devices' sockets
  absl::Duration check_in_interval = absl::Minutes(5);
};

class Agent {
 public:
  // Reporter and updater outlive it. `rollout` is the channel to the service.
  Agent(AgentOptions options, std::shared_ptr<grpc::Channel> rollout, Reporter* reporter, Updater* updater);

  // Never returns. The process may be killed at any moment: what counts is on disk.
  void Run();

 private:
  void FollowHints();
  void Tick(absl::Time now);
  // Whether a device has appeared or started again since the last manifest.
  bool DevicesChanged(const std::vector<Socket>& sockets, absl::Time now);
  void Report(const std::vector<Socket>& sockets, absl::Time now);
  // Asks whether there is something to look at, and looks.
  void CheckIn(absl::Time now);
  void Look(absl::Time now);

  const AgentOptions options_;
  const std::shared_ptr<grpc::Channel> rollout_;
  Reporter& reporter_;
  Updater& updater_;

  absl::Mutex mutex_;
  bool hinted_ ABSL_GUARDED_BY(mutex_) = false;

  struct Calling {  // a socket at which nobody has answered yet
    std::string instance;
    Backoff backoff;
  };
  std::map<std::string, Calling> calling_;           // by path
  std::map<std::string, std::string> reported_;      // socket instance by path, as in the last manifest
  std::map<std::string, PresentComponent> present_;  // as in the last manifest
  bool report_due_ = true;
  bool check_in_due_ = true;
  bool look_due_ = true;  // whatever the check-in says: devices have come, or something is left to do
  absl::Time next_report_;
  absl::Time next_check_in_;
  Backoff report_backoff_;
  Backoff look_backoff_;
  Backoff settle_backoff_;
};

}  // namespace countersign::gateway

#endif  // COUNTERSIGN_TOOLS_GATEWAY_AGENT_H_
