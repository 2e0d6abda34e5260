#include "services/inventory/domain/testing/manifest_target.h"

#include <cstdlib>
#include <map>
#include <utility>

namespace countersign::inventory::domain::testing {
namespace {

// Of nobody: fixed, so that the seeds that are kept stay signed.
constexpr char kGatewayKey[] =
    "-----BEGIN PRIVATE KEY-----\n"
    "MC4CAQAwBQYDK2VwBCIEIK4c1751ZE37OAXU6EeslCTGBzCCKK7CvCivcyUbknns\n"
    "-----END PRIVATE KEY-----\n";
constexpr char kProxyKey[] =
    "-----BEGIN PRIVATE KEY-----\n"
    "MC4CAQAwBQYDK2VwBCIEIIUnhI7e7xyrmLphVmAJk/JUzBJJFTsxZ3JAq+RgLLjh\n"
    "-----END PRIVATE KEY-----\n";
constexpr char kDeviceKey[] =
    "-----BEGIN PRIVATE KEY-----\n"
    "MC4CAQAwBQYDK2VwBCIEIDGOd2WtOBk4H8zA2Zr13Y7YVVTAroDvxOFzTxSw+NQ2\n"
    "-----END PRIVATE KEY-----\n";

constexpr char kNonce[] = "00112233445566778899aabbccddeeff";

template <typename T>
T Require(absl::StatusOr<T> value) {
  if (!value.ok()) std::abort();
  return *std::move(value);
}

VerificationKey KeyOf(const crypto::Signer& signer) {
  return Require(MakeVerificationKey(signer.public_key().Pem()));
}

trust::VersionReport Report(const std::string& serial) {
  trust::VersionReport report;
  report.ecu_serial = serial;
  report.hardware_id = "hw-1";
  report.manufacturer = "acme";
  report.model = "T1000";
  report.filepath = "acme/t/t-1.0.0.bin";
  report.length = 1000;
  report.sha256 = std::string(64, 'a');
  report.version = "1.0.0";
  report.software_versions = {{"bootloader", "3.1"}};
  report.release_counter = 1;
  report.report_counter = 5;
  report.nonce = kNonce;
  return report;
}

}  // namespace

ManifestTarget::ManifestTarget()
    : gateway_(Require(crypto::PemSigner::Parse(kGatewayKey))),
      proxy_(Require(crypto::PemSigner::Parse(kProxyKey))),
      device_(Require(crypto::PemSigner::Parse(kDeviceKey))),
      keys_{"home-1", KeyOf(gateway_), KeyOf(proxy_), {}} {
  keys_.components["SN-1"] = {"hw-1", "acme", "T1000", KeyOf(device_)};
  keys_.components["SN-2"] = {"hw-1", "acme", "T1000", std::nullopt};

  trust::GatewayManifest manifest;
  manifest.gateway_id = "home-1";
  manifest.nonce = kNonce;
  manifest.manifest_counter = 7;
  manifest.time = absl::FromUnixSeconds(1767225600);
  seeds_.push_back(Seed(manifest));
  manifest.incidents = {{"METADATA_ROLLBACK", "device-1", "SN-1", "an old snapshot", 2}};
  manifest.reports.push_back(SignedReport(Report("SN-1"), device_));
  seeds_.push_back(Seed(manifest));
  trust::VersionReport proxied = Report("SN-2");
  proxied.proxied = true;
  manifest.reports.push_back(SignedReport(proxied, proxy_));
  manifest.reports.push_back(SignedReport(Report("SN-1"), device_));  // twice
  manifest.reports.push_back(SignedReport(Report("SN-unknown"), device_));
  trust::VersionReport stopped = Report("SN-1");
  stopped.approval_result = "NO_STATEMENT";
  stopped.approval_override = true;
  stopped.quarantined = true;
  stopped.attacks_detected = "rowhammer";
  manifest.reports.push_back(SignedReport(stopped, proxy_));
  seeds_.push_back(Seed(manifest));
}

std::string ManifestTarget::Seed(trust::GatewayManifest manifest) {
  trust::Envelope envelope = manifest.ToEnvelope();
  if (!envelope.Sign(gateway_).ok()) std::abort();
  signed_.insert(envelope.canonical());
  return envelope.Serialise();
}

trust::Envelope ManifestTarget::SignedReport(const trust::VersionReport& report,
                                             const crypto::Signer& signer) {
  trust::Envelope envelope = report.ToEnvelope();
  if (!envelope.Sign(signer).ok()) std::abort();
  signed_.insert(envelope.canonical());
  return envelope;
}

ManifestTarget::Outcome ManifestTarget::Take(absl::string_view bytes) const {
  Outcome outcome;
  const absl::StatusOr<trust::Envelope> envelope = ReadManifest(bytes);
  if (!envelope.ok()) return outcome;
  outcome.believed = CheckManifest(*envelope, keys_).ok();
  if (outcome.believed && !signed_.contains(envelope->canonical())) std::abort();
  // The rest is fed whoever signed the manifest: a gateway may be an attacker.
  absl::StatusOr<trust::GatewayManifest> manifest = trust::GatewayManifest::Parse(*envelope);
  if (!manifest.ok()) return outcome;
  outcome.readable = true;
  UnknownSerials(*manifest, keys_);
  const CheckedManifest checked = CheckReports(
      *std::move(manifest), keys_, [](absl::string_view serial) { return serial == "SN-unknown"; });
  (void)JudgeManifest(checked, GatewayProgress{"", 6});
  std::map<std::string, ComponentStatus> statuses;
  for (const CheckedReport& report : checked.reports) {
    const Verdict verdict =
        JudgeReport(report, checked.nonce, absl::FromUnixSeconds(1767225600), &statuses[report.ecu_serial]);
    if (verdict.accepted == verdict.refusal.has_value()) std::abort();
    if (report.Evidence().size() > kMaxEvidenceBytes) std::abort();
    if (!verdict.accepted) continue;
    ++outcome.accepted;
    if (!signed_.contains(report.envelope->canonical())) std::abort();
  }
  return outcome;
}

}  // namespace countersign::inventory::domain::testing
