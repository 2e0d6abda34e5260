// Finds the devices, has them report, and tells the inventory what they said (HOME-1, HOME-2, FOTA-D).
#ifndef COUNTERSIGN_TOOLS_GATEWAY_REPORTER_H_
#define COUNTERSIGN_TOOLS_GATEWAY_REPORTER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
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
};

// Signs what leaves the home.
struct ReporterKeys {
  const crypto::Signer* manifest = nullptr;
  const crypto::Signer* proxy = nullptr;  // for constrained components (FOTA-K); may be null
};

// Asks every device on `sockets` for its reports to `nonce`. A device that does not answer, or answers
// nonsense, is logged and left out; it does not silence the others. A report of a constrained component,
// which has no signature, is signed with `proxy`, if it is what its device may say: a version report to this
// nonce, of a component that the device describes as constrained, marked as proxied. The proxy key signs
// nothing else. A component that two devices claim is the first's, until Settle().
Survey SurveyDevices(const std::vector<Socket>& sockets, absl::string_view nonce,
                     const crypto::Signer* proxy);

// Gives each component with rivals to the one whose report its registered key signed: a device that only
// calls itself by another's serial number must not displace it. Without such a one, or such a key, it stays
// the first's.
void Settle(const std::map<std::string, crypto::PublicKey>& keys, Survey& survey);

// The signed gateway manifest.
absl::StatusOr<std::string> PackManifest(const Survey& survey, absl::string_view gateway_id,
                                         absl::string_view nonce, int64_t counter, absl::Time now,
                                         const crypto::Signer& signer);

// What the inventory said to a manifest, and what was in it.
struct ReportOutcome {
  Survey survey;
  inventory::v1::SubmitManifestResponse response;
};

class Reporter {
 public:
  // `state` outlives it. `inventory` is the channel to the service.
  Reporter(std::string gateway_id, ReporterKeys keys, std::shared_ptr<grpc::Channel> inventory, State* state)
      : gateway_id_(std::move(gateway_id)), keys_(keys), inventory_(std::move(inventory)), state_(*state) {}

  // One challenge, one survey, one manifest. Logs every component that the inventory refuses. The server's
  // error when it takes nothing.
  absl::StatusOr<ReportOutcome> Report(const std::vector<Socket>& sockets);

 private:
  absl::StatusOr<inventory::v1::SubmitManifestResponse> Submit(const Survey& survey, absl::string_view nonce,
                                                               int64_t minimum_counter);
  // The counter that the inventory saw last: a gateway whose disk was replaced goes on from there.
  absl::StatusOr<int64_t> LastCounter();
  // The public keys of the home's components, by ecu_serial, as they were provisioned.
  absl::StatusOr<std::map<std::string, crypto::PublicKey>> RegisteredKeys();
  absl::Status Remember(const ReportOutcome& outcome);

  const std::string gateway_id_;
  const ReporterKeys keys_;
  const std::shared_ptr<grpc::Channel> inventory_;
  State& state_;
};

}  // namespace countersign::gateway

#endif  // COUNTERSIGN_TOOLS_GATEWAY_REPORTER_H_
