// Finds the devices, has them report, and tells the inventory what they said (HOME-1, HOME-2, FOTA-D).
#ifndef COUNTERSIGN_TOOLS_GATEWAY_REPORTER_H_
#define COUNTERSIGN_TOOLS_GATEWAY_REPORTER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/crypto/public_key.h"
#include "common/crypto/signer.h"
#include "common/trust/envelope.h"
#include "countersign/device/v1/device.pb.h"
#include "countersign/inventory/v1/inventory.pb.h"
#include "tools/gateway/incidents.h"
#include "tools/gateway/link.h"
#include "tools/gateway/state.h"

namespace grpc {
class Channel;
}

namespace countersign::gateway {

// A component as its device tells of it. Nobody but the inventory can say whether that is true.
struct PresentComponent {
  Socket socket;
  std::string hardware_id;
  bool constrained = false;
  int64_t release_counter = 0;  // of the image that it runs
  std::string sha256;           // of the image that it runs
  std::string version;
  bool quarantined = false;  // it does not operate, by order
  // It runs the image on the way of a bundle, and may yet go back: what it says it runs is nothing to report.
  bool provisional = false;
  size_t report = 0;  // its place in Survey::reports
};

// What one device said of a component.
struct Claim {
  PresentComponent component;
  trust::Envelope report;
};

// What the devices said, once.
struct Survey {
  std::vector<Socket> sockets;                         // of the devices that answered
  std::map<std::string, PresentComponent> components;  // by ecu_serial
  std::vector<trust::Envelope> reports;                // for the manifest
  std::multimap<std::string, Claim> rivals;            // by ecu_serial, which an earlier device claims too
  size_t reports_bytes = 0;                            // of all reports, written out
  std::map<std::string, device::v1::GetDescriptionResponse> descriptions;  // by device_id
};

// Signs what leaves the home.
struct ReporterKeys {
  const crypto::Signer* manifest = nullptr;
  const crypto::Signer* proxy = nullptr;  // for constrained components (FOTA-K); may be null
};

// Asks the devices on `sockets` for their reports to `nonce`, those of `known` first: what strangers have to
// say must not fill the manifest before it, nor keep the home waiting, so all strangers together have a
// limited time. A device that does not answer, or answers nonsense, is logged and left out; it does not
// silence the others, and nonsense is noted in `incidents`. A report of a constrained component, which has no
// signature, is signed with `proxy`, if it is what its device may say: a version report to this nonce, of a
// component that the device describes as constrained, marked as proxied. The proxy key signs nothing else. A
// component that two devices claim is the first's, until Settle().
Survey SurveyDevices(const std::vector<Socket>& sockets, const std::set<std::string>& known,
                     absl::string_view nonce, const crypto::Signer* proxy, Incidents& incidents);

// Gives each component with rivals to the one whose report its registered key signed: a device that only
// calls itself by another's serial number must not displace it. Without such a one, or such a key, it stays
// the first's.
void Settle(const std::map<std::string, crypto::PublicKey>& keys, Survey& survey, Incidents& incidents);

// The signed gateway manifest. Of a component that runs an image provisionally there is no report in it.
absl::StatusOr<std::string> PackManifest(const Survey& survey, const std::vector<trust::Incident>& incidents,
                                         absl::string_view gateway_id, absl::string_view nonce,
                                         int64_t counter, absl::Time now, const crypto::Signer& signer);

// What the inventory is told of a device that it does not know, so that its operator or its manufacturer may
// enrol it.
inventory::v1::Device AnnouncementOf(absl::string_view gateway_id, absl::string_view device_id,
                                     const device::v1::GetDescriptionResponse& description);

// What the inventory said to a manifest, and what was in it.
struct ReportOutcome {
  Survey survey;
  inventory::v1::SubmitManifestResponse response;
};

class Reporter {
 public:
  // `incidents` and `state` outlive it. `inventory` is the channel to the service.
  Reporter(std::string gateway_id, ReporterKeys keys, std::shared_ptr<grpc::Channel> inventory,
           Incidents* incidents, State* state)
      : gateway_id_(std::move(gateway_id)),
        keys_(keys),
        inventory_(std::move(inventory)),
        incidents_(*incidents),
        state_(*state) {}

  // One challenge, one survey, one manifest, with the incidents since the last one. Logs every component that
  // the inventory refuses. The server's error when it takes nothing: rpc::RetryDelayOf() tells when to come
  // again.
  absl::StatusOr<ReportOutcome> Report(const std::vector<Socket>& sockets);

  // Asks the devices without telling anyone: to find them while the inventory is away.
  Survey SurveyAlone(const std::vector<Socket>& sockets);

 private:
  std::set<std::string> KnownDevices() const;
  absl::StatusOr<inventory::v1::SubmitManifestResponse> Submit(const Survey& survey,
                                                               const std::vector<trust::Incident>& incidents,
                                                               absl::string_view nonce,
                                                               int64_t minimum_counter);
  // The counter that the inventory saw last: a gateway whose disk was replaced goes on from there.
  absl::StatusOr<int64_t> LastCounter();
  // The public keys of the home's components, by ecu_serial, as they were provisioned.
  absl::StatusOr<std::map<std::string, crypto::PublicKey>> RegisteredKeys();
  absl::Status Remember(const ReportOutcome& outcome);
  // Tells the inventory of devices whose components it does not know: each once, as long as this runs, and
  // few at once. What becomes of it does not matter to the report.
  void Announce(const ReportOutcome& outcome);

  const std::string gateway_id_;
  const ReporterKeys keys_;
  const std::shared_ptr<grpc::Channel> inventory_;
  Incidents& incidents_;
  State& state_;
  std::set<std::string> announced_;  // device_id
};

}  // namespace countersign::gateway

#endif  // COUNTERSIGN_TOOLS_GATEWAY_REPORTER_H_
