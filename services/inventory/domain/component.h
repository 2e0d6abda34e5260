#ifndef COUNTERSIGN_SERVICES_INVENTORY_DOMAIN_COMPONENT_H_
#define COUNTERSIGN_SERVICES_INVENTORY_DOMAIN_COMPONENT_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

// The values of the inventory: gateways, the devices behind them, their components, and what each runs.
namespace countersign::inventory::domain {

// What a gateway stands in. The numbers are stored: never change them.
enum class GatewayKind { kHome = 1, kVehicle = 2 };

absl::string_view GatewayKindName(GatewayKind kind);  // "HOME", "VEHICLE"

struct Gateway {
  std::string id;  // that of its certificate
  GatewayKind kind = GatewayKind::kHome;
  std::string display_name;
  std::string public_key_pem;
  std::string proxy_public_key_pem;  // empty if it signs for no constrained component
  absl::Time create_time;
  std::optional<absl::Time> last_manifest_time;
  int64_t last_manifest_counter = 0;
};

// What is known of what a component runs. The numbers are stored: never change them.
enum class State {
  kUnverified = 1,   // no report has been accepted
  kVerified = 2,     // its last report was signed by its own key
  kProxied = 3,      // its last report was signed for it by its gateway's proxy key (FOTA-K)
  kModified = 4,     // it runs an image that nobody published
  kCompromised = 5,  // its last report did not prove itself (HOME-1)
  kQuarantined = 6,  // ordered to stop operating
  kRetired = 7,      // taken out of service
};

inline constexpr State kAllStates[] = {State::kUnverified, State::kVerified,    State::kProxied,
                                       State::kModified,   State::kCompromised, State::kQuarantined,
                                       State::kRetired};

absl::string_view StateName(State state);                 // "VERIFIED", ...
std::optional<State> ParseState(absl::string_view name);  // the inverse
std::optional<GatewayKind> ParseGatewayKind(absl::string_view name);

// What the judgement of a report means for a component's state.
enum class ReportEvent {
  kProved,       // a good report, signed by the component's own key
  kVouchedFor,   // a good report, signed by the gateway's proxy key
  kFailedProof,  // a report that shows that the component, or who speaks in its name, is not what it should
                 // be
};

inline constexpr ReportEvent kAllReportEvents[] = {ReportEvent::kProved, ReportEvent::kVouchedFor,
                                                   ReportEvent::kFailedProof};

// The state after `event`. `image_changed`: the report speaks of another image than the last one, so what was
// found out about that one no longer holds. Reports never lift what a person ordered (QUARANTINED, RETIRED).
State NextState(State state, ReportEvent event, bool image_changed);

struct InstalledImage {
  std::string target_path;  // empty for a factory image
  int64_t length_bytes = 0;
  std::string sha256;  // 64 lower-case hex digits
  std::string version;
  int64_t release_counter = 0;  // 0 for a factory image

  friend bool operator==(const InstalledImage&, const InstalledImage&) = default;
};

// What is known of a component by its reports.
struct ComponentStatus {
  State state = State::kUnverified;
  std::string reason;  // why it is COMPROMISED or MODIFIED; else empty
  std::optional<InstalledImage> installed;
  std::map<std::string, std::string> software_versions;
  int64_t report_counter = 0;
  std::optional<absl::Time> report_time;
  std::string attacks_detected;
  int64_t refused_reports = 0;
};

struct Component {
  std::string gateway_id;
  std::string device_id;
  std::string ecu_serial;
  std::string hardware_id;
  std::string public_key_pem;  // empty exactly when constrained
  bool constrained = false;
  std::string manufacturer;  // of its device
  std::string model;         // of its device
  ComponentStatus status;
};

// What the App-ID registry said when the device was provisioned. The numbers are stored: never change them.
enum class AppIdStatus { kNone = 0, kRegistered = 1, kNotRegistered = 2, kNotInForce = 3 };

struct Device {
  std::string gateway_id;
  std::string id;
  std::string manufacturer;
  std::string model;
  std::string hardware_version;
  std::string app_id;  // empty if it has none
  AppIdStatus app_id_status = AppIdStatus::kNone;
  std::vector<Component> components;
  absl::Time create_time;
};

}  // namespace countersign::inventory::domain

#endif  // COUNTERSIGN_SERVICES_INVENTORY_DOMAIN_COMPONENT_H_
