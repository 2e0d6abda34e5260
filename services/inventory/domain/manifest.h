#ifndef COUNTERSIGN_SERVICES_INVENTORY_DOMAIN_MANIFEST_H_
#define COUNTERSIGN_SERVICES_INVENTORY_DOMAIN_MANIFEST_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/crypto/public_key.h"
#include "common/trust/report.h"
#include "services/inventory/domain/component.h"

// The judgement of a gateway manifest and of the component reports in it, in two halves. CheckManifest and
// CheckReports need the keys only, cost the signatures, and run before any row is locked. Judge... compare
// with what is stored (challenge, counters, state), cost nothing, and run within the transaction that writes
// the outcome.
namespace countersign::inventory::domain {

// The proto's limits.
inline constexpr size_t kMaxManifestBytes = 1 << 20;
inline constexpr size_t kMaxReports = 1000;

// Why a report is refused: ComponentResult.reason.
inline constexpr char kReportMalformed[] = "REPORT_MALFORMED";
inline constexpr char kUnknownComponent[] = "UNKNOWN_COMPONENT";
inline constexpr char kOtherGateway[] = "OTHER_GATEWAY";
inline constexpr char kReportSignatureInvalid[] = "SIGNATURE_INVALID";
inline constexpr char kNonceMismatch[] = "NONCE_MISMATCH";
inline constexpr char kCounterReplayed[] = "COUNTER_REPLAYED";
inline constexpr char kHardwareMismatch[] = "HARDWARE_MISMATCH";
inline constexpr char kNotProxied[] = "NOT_PROXIED";

inline constexpr absl::string_view kRefusalReasons[] = {
    kReportMalformed, kUnknownComponent, kOtherGateway,     kReportSignatureInvalid,
    kNonceMismatch,   kCounterReplayed,  kHardwareMismatch, kNotProxied};

// Whether a refusal for `reason` shows that the component did not prove itself (it becomes COMPROMISED), as
// against one that says nothing about it: a report that cannot be read, that is not this gateway's to make,
// or that is an answer to an older challenge, as when a gateway sends again what it had collected before.
bool FailsProof(absl::string_view reason);

struct VerificationKey {
  std::string key_id;
  crypto::PublicKey key;
};

// What a report is checked against.
struct KnownComponent {
  std::string hardware_id;
  std::string manufacturer;
  std::string model;
  std::optional<VerificationKey> key;  // none exactly when it is constrained (FOTA-K)
};

// The parsed keys of a gateway and of what stands behind it. Immutable once made.
struct GatewayKeys {
  std::string gateway_id;
  VerificationKey key;
  std::optional<VerificationKey> proxy_key;
  absl::flat_hash_map<std::string, KnownComponent> components;  // by ecu_serial
};

// INVALID_ARGUMENT (KEY_INVALID).
absl::StatusOr<VerificationKey> MakeVerificationKey(absl::string_view pem);

struct Refusal {
  std::string reason;
  std::string message;  // for people: says what to do
};

// OTHER_GATEWAY.
Refusal BehindOtherGateway();

// A report after the first half: `report` or `refusal`.
struct CheckedReport {
  std::string ecu_serial;  // empty when it could not be read that far
  std::optional<trust::VersionReport> report;
  std::optional<Refusal> refusal;
  std::optional<trust::Envelope> envelope;  // as it came; none when it is not even an envelope

  // What is kept of a report that is refused: as it came, cut at kMaxEvidenceBytes.
  std::string Evidence() const;
};
inline constexpr size_t kMaxEvidenceBytes = 8192;

// A manifest that is the gateway's word.
struct CheckedManifest {
  std::string gateway_id;
  std::string nonce;
  int64_t counter = 0;
  std::vector<CheckedReport> reports;  // in the manifest's order
  std::vector<trust::Incident> incidents;
};

// Reads a manifest: INVALID_ARGUMENT (MANIFEST_MALFORMED).
absl::StatusOr<trust::Envelope> ReadManifest(absl::string_view bytes);

// The manifest if it is the word of `keys`' gateway: INVALID_ARGUMENT (MANIFEST_MALFORMED,
// MANIFEST_SIGNATURE_INVALID), PERMISSION_DENIED (GATEWAY_MISMATCH) when it names another gateway.
absl::StatusOr<trust::GatewayManifest> CheckManifest(const trust::Envelope& envelope,
                                                     const GatewayKeys& keys);

// The ecu_serials that the reports name and `keys` does not know, each once.
std::vector<std::string> UnknownSerials(const trust::GatewayManifest& manifest, const GatewayKeys& keys);

// Checks every report: that it can be read, is of a component behind this gateway, is signed with the key
// that is its to be signed with (its own; or the gateway's proxy key, exactly if it is constrained), and
// speaks of the hardware that was provisioned. `is_elsewhere` tells whether a component that `keys` does not
// know stands behind another gateway.
CheckedManifest CheckReports(trust::GatewayManifest manifest, const GatewayKeys& keys,
                             const std::function<bool(absl::string_view ecu_serial)>& is_elsewhere);

// What is stored of a gateway's last accepted manifest.
struct GatewayProgress {
  std::string nonce;  // empty if none has come
  int64_t counter = 0;
};

// OK if the manifest answers a later challenge than the last one did and its counter rises:
// FAILED_PRECONDITION (NONCE_MISMATCH, COUNTER_REPLAYED). A manifest that was accepted before falls under
// NONCE_MISMATCH: its challenge is spent. That the challenge is one, and not too old, has been checked before
// (challenge.h). ManifestWriter says the same in SQL.
absl::Status JudgeManifest(const CheckedManifest& manifest, const GatewayProgress& progress);

// 16 bytes that stand for all that `report` says but its counter and nonce: of two reports of a component with
// the same, the second one changes nothing but counter and time.
std::string DigestOfWhatItSays(const trust::VersionReport& report);

// When a gateway is to report next: `interval` on average, between three quarters and five quarters of it by
// `random` in [0, 1), so that gateways that came together, as after an outage, come apart.
absl::Duration NextReportDelay(absl::Duration interval, double random);

// What became of a report.
struct Verdict {
  bool accepted = false;
  std::optional<Refusal> refusal;  // when not accepted
  // Whether others should hear of it: state, reason, image, software, attacks, what the check of the approval
  // found, or whether it has stopped are not what they were.
  bool changed = false;
  // Whether it speaks of another image than the last one, so that what the image is has to be found out
  // (image_verdict.h) before the state is settled.
  bool image_changed = false;
};

// Judges a report against the challenge's `nonce` and the component's last counter, and brings `status` to
// what is known afterwards. `status` is null when the component is not one of this gateway's, and then
// nothing is touched.
Verdict JudgeReport(const CheckedReport& checked, absl::string_view nonce, absl::Time now,
                    ComponentStatus* status);

}  // namespace countersign::inventory::domain

#endif  // COUNTERSIGN_SERVICES_INVENTORY_DOMAIN_MANIFEST_H_
