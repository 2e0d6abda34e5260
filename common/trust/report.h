#ifndef COUNTERSIGN_COMMON_TRUST_REPORT_H_
#define COUNTERSIGN_COMMON_TRUST_REPORT_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/crypto/public_key.h"
#include "common/trust/envelope.h"

// What a component says it runs (Uptane's ECU version report), and what a gateway says about its home or
// vehicle (Uptane's vehicle version manifest). Both are Envelopes, of type "version-report" and
// "gateway-manifest".

namespace countersign::trust {

struct VersionReport {
  static constexpr char kType[] = "version-report";

  std::string ecu_serial;
  std::string hardware_id;
  std::string manufacturer;
  std::string model;
  std::string filepath;  // target path of the installed image; empty if unknown
  int64_t length = 0;    // of the installed image
  std::string sha256;    // of the installed image, hex
  std::string version;   // of the installed image
  // Versions of what else runs on the component, by name (HOME-1).
  std::map<std::string, std::string> software_versions;
  int64_t release_counter = 0;   // of the installed image; 0 if unknown
  int64_t report_counter = 0;    // rises with every report of the component
  std::string nonce;             // the server's challenge
  std::string attacks_detected;  // free text; empty if none
  bool proxied = false;          // the gateway has signed, for a component that cannot (FOTA-K)
  // Written only when set. What the component found when it checked the approval of the installed image
  // ("APPROVED", "CARD_ABSENT", ...: ApprovalResultName), and that the user confirmed it against that
  // (SC-GEN-11, SC-USE-7).
  std::string approval_result;
  bool approval_override = false;
  // Written only when set. Its operation is stopped by order of the Director (FOTA-R3).
  bool quarantined = false;

  friend bool operator==(const VersionReport&, const VersionReport&) = default;

  // INVALID_ARGUMENT (MALFORMED_METADATA) with the field; strings have at most 256 characters
  // (attacks_detected 1,024), and software_versions 32 entries.
  static absl::StatusOr<VersionReport> Parse(const Envelope& envelope);
  Envelope ToEnvelope() const;
};

// The serial that a report names, also one that cannot be read otherwise, cut at 64 characters; empty if it
// names none.
std::string SerialIn(const Envelope& envelope);

struct ManifestLimits {
  size_t max_bytes = 1 << 20;
  size_t max_reports = 256;
};

// Something that the gateway noticed and the server should know: a device that answers wrongly, metadata that
// were refused, a server that is none. The gateway's own word: no component's signature stands behind it.
struct Incident {
  std::string reason;      // as of an ErrorInfo: METADATA_ROLLBACK, DEVICE_NONSENSE, ...
  std::string device_id;   // that it is about; empty if it is about none
  std::string ecu_serial;  // that it is about; empty if it is about none
  std::string detail;      // for people, at most 512 characters
  int64_t count = 1;       // how often since the manifest before

  friend bool operator==(const Incident&, const Incident&) = default;
};

struct GatewayManifest {
  static constexpr char kType[] = "gateway-manifest";

  std::string gateway_id;
  std::string nonce;
  int64_t manifest_counter = 0;  // rises with every manifest of the gateway
  absl::Time time;               // the gateway's clock, to the second
  // The signed reports, one per component. A report that is no Envelope is here as its error, so that one
  // broken device does not silence a home.
  std::vector<absl::StatusOr<Envelope>> reports;
  // At most kMaxIncidents; written if there are any.
  std::vector<Incident> incidents;
  static constexpr size_t kMaxIncidents = 16;

  // Never fails because of a single report. INVALID_ARGUMENT (MALFORMED_METADATA), RESOURCE_EXHAUSTED
  // (LENGTH_EXCEEDED, LIMIT_EXCEEDED).
  static absl::StatusOr<GatewayManifest> Parse(const Envelope& envelope, const ManifestLimits& limits = {});
  // Reports that are errors are left out.
  Envelope ToEnvelope() const;
};

// Reads and parses a manifest within `limits`.
absl::StatusOr<Envelope> ParseManifestEnvelope(absl::string_view bytes, const ManifestLimits& limits = {});

// What the server knows of a component, to judge its report by.
struct ExpectedReporter {
  std::string ecu_serial;
  std::string key_id;     // KeyId(key), which costs a digest: keep it beside the key
  crypto::PublicKey key;  // registered for the component; if `proxied` the gateway's, registered for it
  bool proxied = false;
  int64_t last_report_counter = 0;
  std::string nonce;  // the challenge that was given
};

// The report, if it is the component's own word, now: signature by its key (SIGNATURE_INVALID, UNKNOWN_KEY),
// serial and `proxied` as registered (WRONG_IDENTITY), nonce (NONCE_MISMATCH) and counter
// (COUNTER_NOT_RISING).
absl::StatusOr<VersionReport> VerifyReport(const Envelope& envelope, const ExpectedReporter& expected);

// The manifest, if it is the word of the gateway `gateway_id`, as its certificate names it, with `key`: the
// same checks against replay. The reports within are not verified.
absl::StatusOr<GatewayManifest> VerifyManifest(const Envelope& envelope, absl::string_view gateway_id,
                                               const crypto::PublicKey& key, absl::string_view nonce,
                                               int64_t last_manifest_counter,
                                               const ManifestLimits& limits = {});

}  // namespace countersign::trust

#endif  // COUNTERSIGN_COMMON_TRUST_REPORT_H_
