// One component of a device: its identity, its key, its two slots on disk and its counters.
//
// On disk, below the component's folder:
//   component.json   ecu_serial, hardware_id, constrained: never changes
//   key.pem          its private key; none when it is constrained
//   boot.json        BootState
//   counter          of version reports; what is there has been used
//   slot-a, slot-b   image, and slot.json, which is there only while the image beside it is whole
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
#include "common/crypto/signer.h"
#include "common/trust/envelope.h"
#include "tools/device/boot.h"

namespace countersign::device {

// What is in a slot.
struct SlotContent {
  std::string target_path;  // empty for a factory image
  int64_t length = 0;
  std::string sha256;  // hex
  std::string version;
  int64_t release_counter = 0;  // 0 for a factory image
  // It has been booted, or was meant to: it is not tried again, whoever asks. Otherwise anyone on the link
  // could have an older image run, or one that failed.
  bool tried = false;
};

// Decides whether an image is well: given its path, true when it came up.
using HealthCheck = std::function<bool(const std::string& image_path)>;

class Component {
 public:
  // Makes the component's folder with a factory image in slot A. `signer` is null for a constrained
  // component. ALREADY_EXISTS when the folder is there.
  static absl::Status Provision(const std::string& folder, const std::string& ecu_serial,
                                const std::string& hardware_id, const crypto::PemSigner* signer,
                                const std::string& factory_image, const std::string& factory_version);

  // Boots the component: ends a trial that is due, one way or the other. DATA_LOSS when neither slot has a
  // whole image, which no power cut can bring about.
  static absl::StatusOr<std::unique_ptr<Component>> Boot(const std::string& folder,
                                                         const HealthCheck& healthy);

  const std::string& ecu_serial() const { return ecu_serial_; }
  const std::string& hardware_id() const { return hardware_id_; }
  bool constrained() const { return signer_ == nullptr; }
  const BootState& boot_state() const { return boot_; }
  const SlotContent& running() const { return running_; }

  // A version report with the next counter, which is used up even when nobody reads the report; without
  // signature when the component is constrained.
  absl::StatusOr<trust::Envelope> Report(absl::string_view manufacturer, absl::string_view model,
                                         absl::string_view nonce);

  // An image on its way into the inactive slot. What the slot had is gone; the running one is not touched.
  // Destroyed without Finish, it leaves an empty slot.
  class Installation {
   public:
    ~Installation();
    // RESOURCE_EXHAUSTED when the disk is full.
    absl::Status Write(absl::string_view data);
    // Makes the image bootable. The caller has checked length and digest.
    absl::Status Finish(const SlotContent& content);

   private:
    friend class Component;
    Installation(std::string folder, int descriptor) : folder_(std::move(folder)), descriptor_(descriptor) {}
    const std::string folder_;
    int descriptor_;
  };
  absl::StatusOr<std::unique_ptr<Installation>> BeginInstallation();

  // Has the inactive slot tried at the next boot. FAILED_PRECONDITION (NOT_INSTALLED) unless it has the whole
  // image `sha256`, installed since the last trial.
  absl::Status Activate(absl::string_view sha256);

 private:
  Component() = default;

  std::string SlotFolder(Slot slot) const;
  absl::Status SaveBootState(const BootState& state);

  std::string folder_;
  std::string ecu_serial_;
  std::string hardware_id_;
  std::unique_ptr<crypto::PemSigner> signer_;
  BootState boot_;
  SlotContent running_;
  int64_t report_counter_ = 0;
};

}  // namespace countersign::device

#endif  // COUNTERSIGN_TOOLS_DEVICE_COMPONENT_H_
