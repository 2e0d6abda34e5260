// A device: its description, its components, and what it believes of the two repositories.
#ifndef COUNTERSIGN_TOOLS_DEVICE_DEVICE_H_
#define COUNTERSIGN_TOOLS_DEVICE_DEVICE_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/clock/clock.h"
#include "common/crypto/verifier.h"
#include "common/trust/preconditions.h"
#include "common/trust/secure_time.h"
#include "countersign/inventory/v1/inventory.pb.h"
#include "tools/device/component.h"

namespace countersign::device {

// Metadata files of a repository by their names there.
using MetadataFiles = std::map<std::string, std::string>;

// What becomes of an image whose approval could not be checked.
enum class ApprovalPolicy {
  kReject,   // SC-USE-6
  kAskUser,  // SC-USE-7
};

class Device {
 public:
  struct Options {
    std::string folder;
    // The roots that the device came with.
    std::string director_root;
    std::string image_root;
    HealthCheck healthy = [](const std::string&) { return true; };
    // Without one nothing is known of the surroundings.
    ReadingsSource readings = [] { return trust::Readings(); };
    // Checks approvals; null: they are not checked. Outlives the device.
    const crypto::Verifier* card = nullptr;
    ApprovalPolicy approval_policy = ApprovalPolicy::kReject;
    // Starts and stops what a component does for a living.
    std::function<void(const Component& component, bool operates)> operate = [](const Component&, bool) {};
    // Outlives the device.
    const Clock* clock = &SystemClock();
  };

  // Boots every component, and lets those operate that may. Thread-safe are readings() and CheckApproval().
  static absl::StatusOr<std::unique_ptr<Device>> Boot(Options options);

  // As provisioned.
  const inventory::v1::Device& description() const { return description_; }
  std::string id() const;
  const std::vector<std::unique_ptr<Component>>& components() const { return components_; }
  // NOT_FOUND.
  absl::StatusOr<Component*> Find(absl::string_view ecu_serial);
  const trust::SecureTime& time() const { return time_; }
  trust::Readings readings() const { return options_.readings(); }
  // Ordered to stop, by the last metadata of the Director that was verified (FOTA-R3).
  bool quarantined(const Component& component) const { return quarantine_.contains(component.ecu_serial()); }

  // What may be installed on `component` under `target_path`, by the metadata of both repositories; each
  // refusal of common/trust as it is. What was verified is kept, so that nothing older is believed later, and
  // its orders are followed. A constrained component believes the gateway: `length` and `sha256` as given,
  // the rest as the files have it.
  absl::StatusOr<SlotContent> Verify(const Component& component, const SlotContent& offered,
                                     const MetadataFiles& director, const MetadataFiles& images);

  // Asks the card about the approval of `content`, which is whole (SC-GEN-11), and writes into it what it
  // said and whether the user must confirm. FAILED_PRECONDITION (NOT_APPROVED) when the image is to be
  // rejected. Where the image came from is not asked (SC-ALT).
  absl::Status CheckApproval(const Component& component, absl::string_view statement, absl::Time now,
                             SlotContent& content) const;

  // Verifies the Director's metadata, and follows its orders.
  absl::Status ApplyOrders(const MetadataFiles& director);

 private:
  Device(Options options, trust::SecureTime time) : options_(std::move(options)), time_(std::move(time)) {}

  std::string DirectorFolder() const;
  absl::StatusOr<SlotContent> VerifyOffer(const Component& component, const SlotContent& offered,
                                          const MetadataFiles& director, const MetadataFiles& images);
  // Says so if the clock has a part in a refusal.
  absl::Status WithClock(const absl::Status& status) const;
  // Follows what the Director's targets say that were verified last.
  absl::Status FollowOrders();

  const Options options_;
  trust::SecureTime time_;
  inventory::v1::Device description_;
  std::vector<std::unique_ptr<Component>> components_;
  std::set<std::string> quarantine_;
  // What `operate` was told last, by ecu_serial.
  std::map<std::string, bool> operating_;
};

}  // namespace countersign::device

#endif  // COUNTERSIGN_TOOLS_DEVICE_DEVICE_H_
