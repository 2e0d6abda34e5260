// The agent's loop: watches the local network, keeps the inventory informed, and looks for updates, by itself
// and when it is hinted at (HOME-1, FOTA-B, FOTA-D).
#ifndef COUNTERSIGN_TOOLS_GATEWAY_AGENT_H_
#define COUNTERSIGN_TOOLS_GATEWAY_AGENT_H_

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "tools/gateway/desk.h"
#include "tools/gateway/inbox.h"
#include "tools/gateway/incidents.h"
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
  // Nobody asks again before `until`.
  void NotBefore(absl::Time until) { next_ = std::max(next_, until); }
  void Succeeded() { failures_ = 0, next_ = absl::InfinitePast(); }
  absl::Time next() const { return next_; }

 private:
  const absl::Duration first_;
  const absl::Duration longest_;
  int failures_ = 0;
  absl::Time next_ = absl::InfinitePast();
};

// How many hints are worth asking for: some at once, then one now and then, so that a server that is none, or
// that has lost its mind, does not keep the gateway busy. A hint too many is only late. Pure.
class HintBudget {
 public:
  static constexpr int kBurst = 5;
  static constexpr absl::Duration kRefill = absl::Seconds(10);

  // Whether a hint that waits at `now` may be followed; if so it is used up.
  bool Take(absl::Time now);
  // Whether the last Take() had to say no: there is a flood.
  bool flooded() const { return flooded_; }

 private:
  double left_ = kBurst;
  absl::Time since_ = absl::InfinitePast();
  bool flooded_ = false;
};

struct AgentOptions {
  std::string lan;  // folder of the devices' sockets
  std::string dir;  // of the state, for the terminal's requests
  absl::Duration check_in_interval = absl::Minutes(5);
};

class Agent {
 public:
  // All that it is given outlives it. `rollout` is the channel to the service.
  Agent(AgentOptions options, std::shared_ptr<grpc::Channel> rollout, Reporter* reporter, Updater* updater,
        Incidents* incidents, Desk* desk);

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
  // What users and the terminal ask for.
  void Serve(const std::vector<Socket>& sockets);
  void FinishCheck(const absl::Status& status);
  absl::StatusOr<std::string> InstallPackage(const std::vector<Socket>& sockets, const std::string& path);

  const AgentOptions options_;
  const std::shared_ptr<grpc::Channel> rollout_;
  Reporter& reporter_;
  Updater& updater_;
  Incidents& incidents_;
  Desk& desk_;
  const Inbox inbox_;

  absl::Mutex mutex_;
  int64_t hints_ ABSL_GUARDED_BY(mutex_) = 0;  // since the last one was followed

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
  bool prompts_waiting_ = false;
  HintBudget hint_budget_;
  std::deque<ConfirmationAnswer> answers_;  // that a device has not taken yet
  std::vector<std::string> checks_;         // of the terminal, by request
  absl::Time next_incident_report_ = absl::InfinitePast();
  absl::Time next_readings_ = absl::InfinitePast();
  absl::Time next_report_;
  absl::Time next_check_in_;
  Backoff report_backoff_;
  Backoff look_backoff_;
  Backoff settle_backoff_;
  Backoff answer_backoff_;
};

}  // namespace countersign::gateway

#endif  // COUNTERSIGN_TOOLS_GATEWAY_AGENT_H_
