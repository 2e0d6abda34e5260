// What the page knows of the home: a thread of its own asks the services, sends them what the users decided,
// and looks for what is new. Nobody who looks at the page waits for a service, and the agent waits for nobody
// here.
#ifndef COUNTERSIGN_TOOLS_GATEWAY_WEB_WATCH_H_
#define COUNTERSIGN_TOOLS_GATEWAY_WEB_WATCH_H_

#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/clock/clock.h"
#include "tools/gateway/desk.h"
#include "tools/gateway/web/acts.h"
#include "tools/gateway/web/home.h"
#include "tools/gateway/web/services.h"

namespace countersign::gateway {

// How an act fared while its user waited.
enum class Outcome {
  kTaken,    // the service has it
  kKept,     // it is on disk and will be sent
  kRefused,  // the service said no; it stands in Acts with its reason
};

// Thread-safe.
class HomeWatch {
 public:
  // The services, acts and desk outlive it.
  HomeWatch(std::string gateway_id, const Services* services, Acts* acts, Desk* desk,
            const Clock* clock = &SystemClock());
  // Ends the thread, at the latest after the deadline of a call.
  ~HomeWatch();
  HomeWatch(const HomeWatch&) = delete;
  HomeWatch& operator=(const HomeWatch&) = delete;

  // As it is known now. Whoever looks keeps it fresh: what nobody looks at is asked for less often.
  HomeFacts Look();

  // Keeps `act` on disk and sends it; waits for at most `patience` for what becomes of it. An error of
  // Acts::Add.
  absl::StatusOr<Outcome> Submit(const Act& act, absl::Duration patience);
  std::vector<Act> acts() const { return acts_.List(); }
  // A refusal was seen by its user.
  absl::Status Dismiss(const std::string& id) { return acts_.Remove(id); }

  // Asks everybody who may know whether there is something new; Look() tells how far that is.
  void CheckNow();

  // The user's word about an image without a valid approval. See Desk::Confirm.
  absl::Status Confirm(const ConfirmationAnswer& answer) { return desk_.Confirm(answer); }

 private:
  void Run();
  // Until the services are asked again.
  absl::Duration Interval(bool watched) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // False when a service is away, and something is kept.
  bool SendActs();
  void Fetch();
  // Whether the agent has looked since the check began, or is too busy to be waited for.
  bool AgentHasLooked(absl::Time check_began) const;

  const Services& services_;
  Acts& acts_;
  Desk& desk_;
  const Clock& clock_;

  mutable absl::Mutex mutex_;
  HomeFacts facts_ ABSL_GUARDED_BY(mutex_);
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  bool wanted_ ABSL_GUARDED_BY(mutex_) = true;  // a round at once
  int64_t rounds_ ABSL_GUARDED_BY(mutex_) = 0;  // that are done
  bool kept_ ABSL_GUARDED_BY(mutex_) = false;   // acts that are still to be sent
  bool running_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Time looked_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  std::thread thread_;
};

}  // namespace countersign::gateway

#endif  // COUNTERSIGN_TOOLS_GATEWAY_WEB_WATCH_H_
