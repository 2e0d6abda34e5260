// What the gateway keeps on disk. Every file is replaced atomically, so that after a power cut at any moment
// the old or the new one is there:
//
//   manifest-counter     counter of the last manifest that may have left
//   components.json      components that the inventory knows from this gateway, with what they last ran
//   attempts.json        installations that are under way or have failed
//   time                 which it certainly is by now: see trust::SecureTime
//   cut-off.json         components that were cut off the network
//   inbox                requests of the terminal to the agent: see inbox.h
//   metadata/director    last verified metadata, one file per role, and roots/ with every root in between
//   metadata/images      the same of the image repository
//   images               see image_file.h
#ifndef COUNTERSIGN_TOOLS_GATEWAY_STATE_H_
#define COUNTERSIGN_TOOLS_GATEWAY_STATE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/clock/clock.h"
#include "common/trust/secure_time.h"
#include "common/trust/trusted_store.h"
#include "countersign/common/v1/update.pb.h"

namespace countersign::gateway {

// A component that the inventory has accepted a report of.
struct KnownComponent {
  std::string hardware_id;
  int64_t release_counter = 0;
  std::string sha256;     // of the image that it ran last; empty if that was not kept yet
  std::string device_id;  // that it was last found on; empty if that was not kept yet

  friend bool operator==(const KnownComponent&, const KnownComponent&) = default;
};

// An image on its way to one component.
struct Attempt {
  // The numbers are on disk.
  enum class Stage {
    kTransferring = 0,  // the server knows UPDATING: the device may have begun to write
    kActivating = 1,    // the device is being told to boot into it; nobody knows whether it has heard
    kActivated = 2,     // it has heard: the outcome is awaited
    kEnded = 3,         // see `phase`
    kConfirming = 4,    // in the inactive slot; the device wants the user's word before it boots it
    kTransferred = 5,   // in the inactive slot, and may be booted
    // Only of a bundle:
    kProvisional = 6,  // it runs, and can still go back
    kCommitting = 7,   // all of the bundle run well: from here on none goes back
    kReverting = 8,    // another one did not: back to the old image; `reason` and `detail` say why
  };
  std::string sha256;
  int64_t director_version = 0;  // of the Director's targets that named it
  Stage stage = Stage::kTransferring;
  int cuts = 0;              // transfers and orders to the device that were cut off
  absl::Time activate_time;  // since when the outcome is awaited
  bool rolled_back_before =
      false;                // the device told of a rollback of this image before it was told to boot into it
  std::string bundle;       // what it changes together with; empty if it changes alone
  std::string target_path;  // of the image
  std::string version;      // of the image
  std::string approval_result;  // what the device found, if it did not find it in order: see trust.md
  // From a package that was brought, so that the server did not have to agree, and does not call it back.
  bool offline = false;
  // kEnded: FAILED or ROLLED_BACK, and why; VERIFYING when the device says that it runs the image, which only
  // its signed report proves.
  common::v1::UpdatePhase phase = common::v1::UPDATE_PHASE_UNSPECIFIED;
  common::v1::FailureReason reason = common::v1::FAILURE_REASON_UNSPECIFIED;
  std::string detail;
  bool reported = false;  // the server has heard of the end

  friend bool operator==(const Attempt&, const Attempt&) = default;
};

// The last verified metadata of one repository. Beyond what a client needs it keeps all roots that it ever
// went through: a device that was switched off for a year follows them one by one.
class MetadataStore : public trust::TrustedStore {
 public:
  static absl::StatusOr<MetadataStore> Open(const std::string& folder);

  absl::StatusOr<std::optional<std::string>> Load(absl::string_view role) const override;
  absl::Status Save(absl::string_view role, absl::string_view bytes) override;
  absl::Status Remove(absl::string_view role) override;

  // All roots, by file name ("2.root.json").
  absl::StatusOr<std::map<std::string, std::string>> Roots() const;

 private:
  MetadataStore(std::string roots, trust::DirectoryStore current)
      : roots_(std::move(roots)), current_(std::move(current)) {}

  std::string roots_;
  trust::DirectoryStore current_;
};

// The folder. Not thread-safe, except NextManifestCounter(), which also other processes on this folder may
// call.
class State {
 public:
  // Makes the folder if need be. DATA_LOSS (STATE_DAMAGED) with the file that cannot be read. `clock`
  // outlives it.
  static absl::StatusOr<std::unique_ptr<State>> Open(const std::string& folder,
                                                     const Clock& clock = SystemClock());
  ~State();
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  // Keeps a second agent off the folder, until the process ends. FAILED_PRECONDITION (ALREADY_RUNNING).
  absl::Status LockForAgent();

  // A number above all that it gave before, and at least `minimum`; it is on disk when this returns, so that
  // no power cut brings a number back.
  absl::StatusOr<int64_t> NextManifestCounter(int64_t minimum = 1);

  const std::map<std::string, KnownComponent>& components() const { return components_; }  // by ecu_serial
  absl::Status SaveComponents(std::map<std::string, KnownComponent> components);

  const std::map<std::string, Attempt>& attempts() const { return attempts_; }  // by ecu_serial
  // The attempt at a component; nullptr if there is none.
  const Attempt* FindAttempt(const std::string& ecu_serial) const;
  absl::Status SaveAttempt(const std::string& ecu_serial, const Attempt& attempt);
  // Several at once: after a power cut all of them are there, or none.
  absl::Status SaveAttempts(const std::map<std::string, Attempt>& attempts);
  absl::Status RemoveAttempt(const std::string& ecu_serial);

  // The time, which a clock that was set back does not turn back.
  trust::SecureTime& time() { return time_; }
  const trust::SecureTime& time() const { return time_; }

  MetadataStore& director() { return director_; }
  MetadataStore& images() { return images_; }
  // Where images are kept.
  std::string image_folder() const;

  // Components that a program cut off the network because they do not obey a quarantine.
  const std::set<std::string>& cut_off() const { return cut_off_; }
  absl::Status SaveCutOff(std::set<std::string> cut_off);

 private:
  State(std::string folder, trust::SecureTime time, MetadataStore director, MetadataStore images)
      : folder_(std::move(folder)),
        time_(std::move(time)),
        director_(std::move(director)),
        images_(std::move(images)) {}
  absl::Status Load();
  absl::Status WriteAttempts(const std::map<std::string, Attempt>& attempts);

  const std::string folder_;
  trust::SecureTime time_;
  MetadataStore director_;
  MetadataStore images_;
  std::map<std::string, KnownComponent> components_;
  std::map<std::string, Attempt> attempts_;
  std::set<std::string> cut_off_;
  int agent_lock_ = -1;
};

}  // namespace countersign::gateway

#endif  // COUNTERSIGN_TOOLS_GATEWAY_STATE_H_
