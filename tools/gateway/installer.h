// Brings verified images that are on the gateway's disk to components, one alone or all of a bundle or none
// (FOTA-E, FOTA-K).
//
// Every step that matters is on disk before it is taken, so that a gateway that loses power at any moment
// goes on from there:
//
//   (none) --server takes UPDATING--> TRANSFERRING --device has it--> [CONFIRMING --the user insists-->]
//   TRANSFERRED --> ACTIVATING --device was told--> ACTIVATED --it is up--> ENDED
//
// The end is FAILED or ROLLED_BACK, or VERIFYING: then the component's signed report is what counts. Of a
// bundle the first is activated once all are TRANSFERRED, and those that are up wait as PROVISIONAL for the
// others:
//
//   all of them up:  PROVISIONAL --> COMMITTING (all in one write) --each device commits--> ENDED
//   one fails:       what was activated --> REVERTING (in one write with the failure) --> ENDED, ROLLED_BACK;
//                    what was not --> ENDED, FAILED; both with the reason DEPENDENCY
#ifndef COUNTERSIGN_TOOLS_GATEWAY_INSTALLER_H_
#define COUNTERSIGN_TOOLS_GATEWAY_INSTALLER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/trust/update.h"
#include "countersign/common/v1/update.pb.h"
#include "countersign/device/v1/device.pb.h"
#include "tools/gateway/desk.h"
#include "tools/gateway/progress.h"
#include "tools/gateway/reporter.h"
#include "tools/gateway/state.h"

namespace countersign::gateway {

// What the device is given with an image: see Verification::HeaderFor().
using HeaderFor =
    std::function<absl::StatusOr<device::v1::InstallHeader>(const trust::VerifiedUpdate& update)>;

// What is installed together, and where it came from.
struct Order {
  std::vector<trust::VerifiedUpdate> updates;  // one, or all of a bundle
  int64_t director_version = 0;
  bool offline = false;  // from a package that was brought: the server is not asked
};

// Whether the device may be running, or be about to run, the attempt's image: nothing but its own end stops
// it.
bool IsUnderWay(const Attempt& attempt);

// Whether `status` of a call to a device says that nobody answered, or that they were lost.
bool IsGone(const absl::Status& status);

// Not thread-safe.
class Installer {
 public:
  struct Options {
    // How long a device may take to come back from its reboot.
    absl::Duration reboot_timeout = absl::Minutes(5);
  };

  // All outlive it.
  Installer(Options options, const ProgressTeller* progress, State* state)
      : options_(options), progress_(*progress), state_(*state) {}

  // Where components are, and what they run. Where a device was is remembered while it is away.
  void Seen(const std::map<std::string, PresentComponent>& present);

  // Installs `order`, whose components are present and whose images are on disk, as far as it goes at once.
  // An error is worth trying again; what was refused is on disk as an end. While the preconditions of one are
  // not met nothing is written to any, and readings_awaited() tells.
  absl::Status Install(const Order& order, const HeaderFor& header_for);
  // Whether the device at `socket` has been told to boot and is awaited.
  bool Rebooting(const Socket& socket) const;

  // Looks after the components that are rebooting, and the bundles that are on their way, and tells the
  // server what it has not heard.
  absl::Status Settle();
  // Whether there is something for Settle(): call it again soon.
  bool awaiting() const;

  // Whether installations wait for preconditions.
  bool readings_awaited() const { return !unmet_.empty(); }
  // Asks the devices of those: whether one of the orders can go on now.
  bool ReadingsAllow();
  // The orders have changed: what waited does not wait any more.
  void ForgetUnmet() { unmet_.clear(); }

  // What waits for the user's word.
  std::vector<Confirmation> confirmations() const;
  // Passes it on. An error that is UNAVAILABLE is worth trying again.
  absl::Status Answer(const ConfirmationAnswer& answer);

  // The attempt ends so; what belongs to its bundle goes back. Nothing is told yet.
  absl::Status End(const std::string& ecu_serial, Attempt attempt, common::v1::UpdatePhase phase,
                   common::v1::FailureReason reason, absl::string_view detail);
  // Tells the server the ends that it has not heard of.
  absl::Status TellEnds();

  // Takes up a component that runs an image provisionally of which nothing is on this disk: part of the
  // bundle of `update` if that is ordered, else it goes back.
  absl::Status Adopt(const std::string& ecu_serial, const PresentComponent& component,
                     const trust::VerifiedUpdate* update, int64_t director_version);

  // Whether a component has come up with another image since this was last asked: a new manifest is due at
  // once.
  bool TakeChanged() { return std::exchange(changed_, false); }
  // As the user sees them.
  std::vector<ComponentProgress> progress() const;

 private:
  absl::Status Transfer(const trust::VerifiedUpdate& update, Attempt attempt, const HeaderFor& header_for);
  absl::Status Activate(const std::string& ecu_serial, Attempt attempt);
  // Why the preconditions of `order` do not all hold; OK if they do.
  absl::Status CheckReadings(const Order& order);
  absl::Status SettleOne(const std::string& ecu_serial, Attempt attempt);
  absl::Status Commit(const std::string& ecu_serial, Attempt attempt);
  absl::Status Revert(const std::string& ecu_serial, Attempt attempt);
  // Takes the next step of a bundle, if there is one.
  absl::Status Advance(const std::string& bundle);
  std::map<std::string, Attempt> MembersOf(const std::string& bundle) const;
  // Counts a transfer that was cut off; ends the attempt when there were too many.
  absl::Status Cut(const std::string& ecu_serial, Attempt attempt, const absl::Status& status);
  // UNAVAILABLE while the component's device is away.
  absl::StatusOr<device::v1::ComponentDescription> Describe(const std::string& ecu_serial) const;
  absl::StatusOr<Socket> SocketOf(const std::string& ecu_serial) const;

  const Options options_;
  const ProgressTeller& progress_;
  State& state_;
  std::map<std::string, Socket> sockets_;  // by ecu_serial: where each was seen last
  struct Unmet {
    Order order;
    std::string why;
  };
  std::map<std::string, Unmet> unmet_;  // by the first component's ecu_serial
  bool changed_ = false;
};

}  // namespace countersign::gateway

#endif  // COUNTERSIGN_TOOLS_GATEWAY_INSTALLER_H_
