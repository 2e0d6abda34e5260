// One component of a device: its identity, its key, its two slots on disk and its counters.
//
// On disk, below the component's folder:
//   component.json   ecu_serial, hardware_id, constrained, key: never changes
//   key.pem          its private key; none when it is constrained, or its key is on a token
//   boot.json        BootState
//   confirmations.json  what users said about images whose approval could not be checked
//   counter          of version reports; what is there has been used
//   slot-a, slot-b   see slot.h
// Every file is replaced atomically, so that a power cut at any moment leaves an old or a new one.
#ifndef COUNTERSIGN_TOOLS_DEVICE_COMPONENT_H_
#define COUNTERSIGN_TOOLS_DEVICE_COMPONENT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/crypto/signer.h"
#include "common/trust/envelope.h"
#include "common/trust/preconditions.h"
#include "tools/device/boot.h"
#include "tools/device/slot.h"

namespace countersign::device {

// Decides whether an image is well: given its path, true when it came up.
using HealthCheck = std::function<bool(const std::string& image_path)>;
using ReadingsSource = std::function<trust::Readings()>;

class Component {
 public:
  struct Identity {
    std::string ecu_serial;
    std::string hardware_id;
    // It can neither sign nor verify, and has no key.
    bool constrained = false;
    // Where its key is (crypto::OpenSigner); empty: in its folder, made here.
    std::string key;
  };

  // Makes the component's folder with a factory image in slot A, and says its public key in PEM, "" for a
  // constrained one. ALREADY_EXISTS when the folder is there; errors of crypto::OpenSigner.
  static absl::StatusOr<std::string> Provision(const std::string& folder, const Identity& identity,
                                               crypto::KeyType key_type, const std::string& factory_image,
                                               const std::string& factory_version);

  // Boots the component: ends a trial that is due, one way or the other; a provisional run that does not come
  // up any more ends; a damaged image is replaced by what is whole. Without any it boots all the same, and
  // waits for one.
  static absl::StatusOr<std::unique_ptr<Component>> Boot(const std::string& folder,
                                                         const HealthCheck& healthy,
                                                         const ReadingsSource& readings);

  const std::string& ecu_serial() const { return identity_.ecu_serial; }
  const std::string& hardware_id() const { return identity_.hardware_id; }
  bool constrained() const { return identity_.constrained; }
  const BootState& boot_state() const { return boot_; }
  // What is in the running slot. Without an image that could run: what was measured there.
  const SlotContent& running() const { return running_; }
  // The running image's path; nullopt if there is none that could run.
  std::optional<std::string> running_image() const;
  // No image below it is installed any more.
  int64_t release_floor() const;
  // What the other slot has; nullopt if it is empty.
  std::optional<SlotContent> Inactive() const;

  // A version report with the next counter, which is used up even when nobody reads the report; without
  // signature when the component is constrained. UNAVAILABLE while the key's token is away.
  absl::StatusOr<trust::Envelope> Report(absl::string_view manufacturer, absl::string_view model,
                                         absl::string_view nonce, bool quarantined);

  // For an image in the inactive slot; the running one is not touched. FAILED_PRECONDITION (PROVISIONAL)
  // while that slot has what the component may have to go back to.
  absl::StatusOr<std::unique_ptr<Installation>> BeginInstallation();

  // The word of the user `principal_id` about an image that awaits it; without `confirm` it is gone. What was
  // said stays in confirmations.json. FAILED_PRECONDITION (NOT_INSTALLED) unless the inactive slot has such
  // an image `sha256`.
  absl::Status Confirm(absl::string_view sha256, bool confirm, absl::string_view principal_id,
                       absl::Time now);

  // Has the inactive slot tried at the next boot, with `bundle` or the one that its order names provisionally
  // so. FAILED_PRECONDITION: NOT_INSTALLED unless it has the whole image `sha256`, installed since the last
  // trial; NOT_CONFIRMED, BUNDLE_MISMATCH, PRECONDITION_NOT_MET.
  absl::Status Activate(absl::string_view sha256, absl::string_view bundle, const trust::Readings& readings);

  // The end of a provisional run of the image `sha256`. FAILED_PRECONDITION (NOT_PROVISIONAL); committing
  // what was committed is OK. After Revert() the component is to be booted.
  absl::Status Commit(absl::string_view sha256);
  absl::Status Revert(absl::string_view sha256);

 private:
  Component() = default;
  std::string SlotFolder(Slot slot) const;
  std::string OtherFolder() const { return SlotFolder(Other(RunningSlot(boot_))); }
  absl::Status SaveBootState(const BootState& state);
  absl::Status OpenKey();
  absl::Status TryOtherSlot(const HealthCheck& healthy, const ReadingsSource& readings);
  absl::Status LoadRunning(const HealthCheck& healthy);

  std::string folder_;
  Identity identity_;
  std::unique_ptr<crypto::Signer> signer_;
  absl::Status key_status_;
  BootState boot_;
  SlotContent running_;
  int64_t report_counter_ = 0;
};

}  // namespace countersign::device

#endif  // COUNTERSIGN_TOOLS_DEVICE_COMPONENT_H_
