// Where the agent and its users' displays meet: the page and the terminal ask here, and the agent, which
// alone calls services and devices, answers. Nothing here outlives the process: what counts is in the state.
#ifndef COUNTERSIGN_TOOLS_GATEWAY_DESK_H_
#define COUNTERSIGN_TOOLS_GATEWAY_DESK_H_

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "countersign/common/v1/update.pb.h"

namespace countersign::gateway {

// An image that is in its device's inactive slot, whose approval the device could not find to be in order,
// and that it installs only if the user insists (SC-USE-7).
struct Confirmation {
  std::string ecu_serial;
  std::string device_id;
  std::string sha256;
  std::string target_path;
  std::string version;
  std::string approval_result;  // what the device found: "NO_STATEMENT", "EXPIRED", ... (trust.md)

  friend bool operator==(const Confirmation&, const Confirmation&) = default;
};

// The user's word about one.
struct ConfirmationAnswer {
  std::string ecu_serial;
  std::string sha256;
  bool confirm = false;
  std::string principal_id;  // who it was
};

// How far the update of a component is, also of those that ended since the Director ordered something else.
struct ComponentProgress {
  std::string ecu_serial;
  std::string device_id;  // empty while the device has not been seen
  std::string sha256;
  std::string version;  // of the new image; empty if it is not known any more
  common::v1::UpdatePhase phase = common::v1::UPDATE_PHASE_UNSPECIFIED;
  common::v1::FailureReason reason = common::v1::FAILURE_REASON_UNSPECIFIED;
  std::string detail;  // for people

  friend bool operator==(const ComponentProgress&, const ComponentProgress&) = default;
};

// What a look for updates found (HOME-10, FOTA-T2).
struct CheckOutcome {
  absl::Time time;       // when it ended
  absl::Status status;   // OK; or why nothing can be told: the services are away, their metadata are refused
  int updates = 0;       // that may be installed and are not yet
  bool prompts = false;  // the user has questions to answer
  int confirmations = 0;

  bool nothing_new() const { return status.ok() && updates == 0 && !prompts && confirmations == 0; }
};

// Thread-safe.
class Desk {
 public:
  // --- for displays ---

  // Has the agent look for updates now, and waits for what it finds. DEADLINE_EXCEEDED when it is busy for
  // longer than `timeout`; it looks nevertheless.
  absl::StatusOr<CheckOutcome> Check(absl::Duration timeout);
  // What the last look found, whoever asked for it; nullopt before the first.
  std::optional<CheckOutcome> last_check() const;

  std::vector<Confirmation> confirmations() const;
  // Passes the user's word on to the device, a moment later. NOT_FOUND (CONFIRMATION_UNKNOWN) when nothing
  // such waits, INVALID_ARGUMENT (PRINCIPAL_MISSING) unless `principal_id` has 1 to 128 characters.
  absl::Status Confirm(const ConfirmationAnswer& answer);

  std::vector<ComponentProgress> progress() const;

  // --- for the agent ---

  // Whether somebody waits for a check.
  bool check_wanted() const;
  void Checked(CheckOutcome outcome);
  void Show(std::vector<Confirmation> confirmations, std::vector<ComponentProgress> progress);
  // The answers since it was asked last.
  std::deque<ConfirmationAnswer> TakeAnswers();

 private:
  mutable absl::Mutex mutex_;
  int64_t wanted_ ABSL_GUARDED_BY(mutex_) = 0;  // checks that were asked for
  int64_t done_ ABSL_GUARDED_BY(mutex_) = 0;
  std::optional<CheckOutcome> outcome_ ABSL_GUARDED_BY(mutex_);
  std::vector<Confirmation> confirmations_ ABSL_GUARDED_BY(mutex_);
  std::deque<ConfirmationAnswer> answers_ ABSL_GUARDED_BY(mutex_);
  std::vector<ComponentProgress> progress_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace countersign::gateway

#endif  // COUNTERSIGN_TOOLS_GATEWAY_DESK_H_
