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
  std::map<std::string, std::string> tags;
};

// What is known of what a component runs. The numbers are stored: never change them.
enum class State {
  kUnverified = 1,         // no report has been accepted
  kVerified = 2,           // its last report was signed by its own key
  kProxied = 3,            // its last report was signed for it by its gateway's proxy key (FOTA-K)
  kModified = 4,           // it runs an image that it should not run (FOTA-R2)
  kCompromised = 5,        // its last report did not prove itself (HOME-1)
  kQuarantined = 6,        // ordered to stop operating
  kRetired = 7,            // taken out of service
  kAwaitingEnrolment = 8,  // announced by a gateway and not enrolled: never that of a component of the fleet
};

// Those that a component of the fleet can have.
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

// What an image is, compared with what was published (FOTA-R2). The numbers are stored: never change them.
enum class ImageVerdict {
  kNone = 0,       // not compared
  kPublished = 1,  // published for this hardware
  kFactory = 2,    // the one that was declared at provisioning
  kUnknown = 3,    // nobody published it, nor another one of that version
  kDiffers = 4,    // what was published under that path or version has another digest
  kRevoked = 5,    // published once, and revoked
};

struct InstalledImage {
  std::string target_path;  // empty for a factory image
  int64_t length_bytes = 0;
  std::string sha256;  // 64 lower-case hex digits
  std::string version;
  int64_t release_counter = 0;  // 0 for a factory image

  friend bool operator==(const InstalledImage&, const InstalledImage&) = default;
};

// An update that failed (FOTA-P1).
struct UpdateFailure {
  absl::Time time;
  std::string phase;   // FAILED or ROLLED_BACK
  std::string reason;  // of the common vocabulary
  std::string detail;
  std::string version;  // that was to be installed
  std::string rollout;  // rollouts/{rollout}

  friend bool operator==(const UpdateFailure&, const UpdateFailure&) = default;
};
inline constexpr size_t kMaxLastErrors = 5;

// An order to stop operating (FOTA-R3).
struct Quarantine {
  absl::Time order_time;
  std::string ordered_by;  // role/id, or kByPolicy
  std::string reason;
  std::optional<absl::Time> confirm_time;  // when a signed report said first that it has stopped
};
inline constexpr char kByPolicy[] = "policy";

// What is known of a component by its reports, and what was ordered.
struct ComponentStatus {
  State state = State::kUnverified;
  std::string reason;  // why it is COMPROMISED or MODIFIED; else empty
  std::optional<InstalledImage> installed;
  std::map<std::string, std::string> software_versions;
  int64_t report_counter = 0;
  std::optional<absl::Time> report_time;
  std::string attacks_detected;
  int64_t refused_reports = 0;
  ImageVerdict image_verdict = ImageVerdict::kNone;
  std::string approval_result;  // as it reports; empty if it does not say
  bool approval_override = false;
  bool stopped = false;  // as it reports
  std::optional<absl::Time> first_report_time;
  int64_t failure_count = 0;
  std::vector<UpdateFailure> last_errors;  // newest first, at most kMaxLastErrors
  std::optional<Quarantine> quarantine;
};

struct Component {
  std::string gateway_id;
  std::string device_id;
  std::string ecu_serial;
  std::string hardware_id;
  std::string public_key_pem;  // empty exactly when constrained
  bool constrained = false;
  std::string manufacturer;                 // of its device
  std::string model;                        // of its device
  std::string factory_sha256;               // empty if it was not declared
  std::map<std::string, std::string> tags;  // of its device and its gateway
  ComponentStatus status;
};

// What the App-ID registry said when the device was provisioned. The numbers are stored: never change them.
enum class AppIdStatus { kNone = 0, kRegistered = 1, kNotRegistered = 2, kNotInForce = 3 };

// What the registry found about an App-ID, as it names it.
struct AppIdFinding {
  std::string code;
  std::string severity;
  std::string message;
};

struct Device {
  std::string gateway_id;
  std::string id;
  std::string manufacturer;
  std::string model;
  std::string hardware_version;
  std::string app_id;  // empty if it has none
  AppIdStatus app_id_status = AppIdStatus::kNone;
  std::vector<AppIdFinding> app_id_findings;
  std::map<std::string, std::string> tags;
  std::vector<Component> components;
  absl::Time create_time;
  bool awaits_enrolment = false;
};

// What made a row of a component's history. The numbers are stored: never change them.
enum class ChangeCause { kReport = 1, kOrder = 2, kPolicy = 3, kPublication = 4, kMove = 5 };

absl::string_view ChangeCauseName(ChangeCause cause);  // "REPORT", ...

// What a component was known to be and to run from a moment on.
struct ComponentChange {
  absl::Time time;
  int64_t id = 0;  // orders what has the same time
  std::string gateway_id;
  ChangeCause cause = ChangeCause::kReport;
  std::string actor;
  std::string note;
  int64_t manifest_counter = 0;
  ComponentStatus status;
};

// A report that was refused, as it is kept.
struct RefusedReport {
  int64_t id = 0;  // orders them
  absl::Time time;
  int64_t manifest_counter = 0;
  std::string ecu_serial;
  std::string reason;
  std::string message;
  std::string report;
};

}  // namespace countersign::inventory::domain

#endif  // COUNTERSIGN_SERVICES_INVENTORY_DOMAIN_COMPONENT_H_
