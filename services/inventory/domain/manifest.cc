#include "services/inventory/domain/manifest.h"

#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "common/crypto/digest.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/trust/keys.h"

namespace countersign::inventory::domain {
namespace {

constexpr trust::ManifestLimits kLimits = {.max_bytes = kMaxManifestBytes, .max_reports = kMaxReports};

absl::Status ManifestMalformed(const absl::Status& why) {
  return Error(absl::StatusCode::kInvalidArgument, "MANIFEST_MALFORMED",
               absl::StrCat("The manifest cannot be read: ", why.message(),
                            ". It must be a signed gateway-manifest of at "
                            "most ",
                            kMaxManifestBytes, " bytes and ", kMaxReports, " reports."));
}

std::optional<Refusal> Refuse(absl::string_view reason, absl::string_view message) {
  return Refusal{std::string(reason), std::string(message)};
}

std::optional<Refusal> CheckKnownReport(const trust::Envelope& envelope, const trust::VersionReport& report,
                                        const GatewayKeys& keys, const KnownComponent& component) {
  const bool constrained = !component.key.has_value();
  if (report.proxied != constrained) {
    return Refuse(kNotProxied,
                  constrained
                      ? "The component is constrained: its gateway signs its report with the proxy key, and "
                        "the report says \"proxied\": true."
                      : "The component signs for itself: a report that its gateway signs does not count.");
  }
  if (constrained && !keys.proxy_key.has_value()) {
    return Refuse(kNotProxied,
                  "The component is constrained and its gateway has no proxy key: provision one.");
  }
  const VerificationKey& key = constrained ? *keys.proxy_key : *component.key;
  if (const absl::Status status = envelope.VerifyBy(key.key_id, key.key); !status.ok()) {
    return Refuse(kReportSignatureInvalid,
                  absl::StrCat("Not signed by the key that was provisioned for it: ", status.message()));
  }
  if (report.hardware_id != component.hardware_id) {
    return Refuse(kHardwareMismatch,
                  absl::StrCat("It says that it is hardware \"", report.hardware_id,
                               "\" and was provisioned as \"", component.hardware_id, "\"."));
  }
  if ((!report.manufacturer.empty() && report.manufacturer != component.manufacturer) ||
      (!report.model.empty() && report.model != component.model)) {
    return Refuse(kHardwareMismatch,
                  absl::StrCat("It says that it is a \"", report.model, "\" of \"", report.manufacturer,
                               "\" and was provisioned as a \"", component.model, "\" of \"",
                               component.manufacturer, "\"."));
  }
  return std::nullopt;
}

InstalledImage ImageOf(const trust::VersionReport& report) {
  return {report.filepath, report.length, report.sha256, report.version, report.release_counter};
}

}  // namespace

bool FailsProof(absl::string_view reason) {
  return reason == kReportSignatureInvalid || reason == kCounterReplayed || reason == kHardwareMismatch ||
         reason == kNotProxied;
}

Refusal BehindOtherGateway() {
  return {kOtherGateway, "The component stands behind another gateway: a gateway reports its own."};
}

absl::StatusOr<VerificationKey> MakeVerificationKey(absl::string_view pem) {
  ASSIGN_OR_RETURN(crypto::PublicKey key, crypto::PublicKey::FromPem(pem));
  std::string key_id = trust::KeyId(key);
  return VerificationKey{std::move(key_id), std::move(key)};
}

std::string CheckedReport::Evidence() const {
  return envelope.has_value() ? envelope->Serialise().substr(0, kMaxEvidenceBytes) : "";
}

absl::StatusOr<trust::Envelope> ReadManifest(absl::string_view bytes) {
  absl::StatusOr<trust::Envelope> envelope = trust::ParseManifestEnvelope(bytes, kLimits);
  if (!envelope.ok()) return ManifestMalformed(envelope.status());
  return envelope;
}

absl::StatusOr<trust::GatewayManifest> CheckManifest(const trust::Envelope& envelope,
                                                     const GatewayKeys& keys) {
  absl::StatusOr<trust::GatewayManifest> manifest = trust::GatewayManifest::Parse(envelope, kLimits);
  if (!manifest.ok()) return ManifestMalformed(manifest.status());
  if (manifest->gateway_id != keys.gateway_id) {
    return Error(
        absl::StatusCode::kPermissionDenied, "GATEWAY_MISMATCH",
        absl::StrCat("The manifest is of gateway \"", manifest->gateway_id, "\" and the certificate is of \"",
                     keys.gateway_id, "\": a gateway speaks for its own home only."));
  }
  if (const absl::Status status = envelope.VerifyBy(keys.key.key_id, keys.key.key); !status.ok()) {
    return Error(
        absl::StatusCode::kInvalidArgument, "MANIFEST_SIGNATURE_INVALID",
        absl::StrCat("The manifest is not signed with the key that was provisioned for the gateway: ",
                     status.message()));
  }
  return manifest;
}

std::vector<std::string> UnknownSerials(const trust::GatewayManifest& manifest, const GatewayKeys& keys) {
  std::vector<std::string> unknown;
  absl::flat_hash_set<std::string> seen;
  for (const absl::StatusOr<trust::Envelope>& envelope : manifest.reports) {
    if (!envelope.ok()) continue;
    std::string serial = trust::SerialIn(*envelope);
    if (serial.empty() || keys.components.contains(serial) || !seen.insert(serial).second) continue;
    unknown.push_back(std::move(serial));
  }
  return unknown;
}

CheckedManifest CheckReports(trust::GatewayManifest manifest, const GatewayKeys& keys,
                             const std::function<bool(absl::string_view ecu_serial)>& is_elsewhere) {
  CheckedManifest checked{
      manifest.gateway_id, manifest.nonce, manifest.manifest_counter, {}, std::move(manifest.incidents)};
  checked.reports.reserve(manifest.reports.size());
  absl::flat_hash_set<std::string> named;
  for (absl::StatusOr<trust::Envelope>& envelope : manifest.reports) {
    CheckedReport& result = checked.reports.emplace_back();
    if (!envelope.ok()) {
      result.refusal = Refuse(kReportMalformed, envelope.status().message());
      continue;
    }
    result.ecu_serial = trust::SerialIn(*envelope);
    absl::StatusOr<trust::VersionReport> report = trust::VersionReport::Parse(*envelope);
    if (!report.ok()) {
      result.refusal = Refuse(kReportMalformed, report.status().message());
    } else if (const auto component = keys.components.find(report->ecu_serial);
               component == keys.components.end()) {
      result.refusal =
          is_elsewhere(report->ecu_serial)
              ? BehindOtherGateway()
              : Refuse(kUnknownComponent, "No such component is provisioned: provision its device first.");
    } else if (!named.insert(report->ecu_serial).second) {
      result.refusal =
          Refuse(kReportMalformed, "The manifest names the component twice: send one report of each.");
    } else {
      result.refusal = CheckKnownReport(*envelope, *report, keys, component->second);
    }
    if (!result.refusal.has_value()) result.report = *std::move(report);
    result.envelope = *std::move(envelope);
  }
  return checked;
}

absl::Status JudgeManifest(const CheckedManifest& manifest, const GatewayProgress& progress) {
  const auto refuse = [](absl::string_view reason, absl::string_view message) {
    return Error(absl::StatusCode::kFailedPrecondition, reason, message);
  };
  if (manifest.nonce <= progress.nonce) {
    return refuse(
        kNonceMismatch,
        "The manifest's challenge, or a later one, has been answered: if this manifest was sent before, "
        "it was accepted then; else call CreateChallenge, and collect reports that answer it.");
  }
  if (manifest.counter <= progress.counter) {
    return refuse(kCounterReplayed, absl::StrCat("The manifest's counter is ", manifest.counter,
                                                 " and the last accepted one was ", progress.counter,
                                                 ": send a manifest with a higher one."));
  }
  return absl::OkStatus();
}

std::string DigestOfWhatItSays(const trust::VersionReport& report) {
  constexpr size_t kBytes = 16;
  std::string said;
  // Each with its length, so that no two sets of strings look alike.
  const auto add = [&said](absl::string_view text) { absl::StrAppend(&said, text.size(), ":", text); };
  for (const std::string* text :
       {&report.ecu_serial, &report.hardware_id, &report.manufacturer, &report.model, &report.filepath,
        &report.sha256, &report.version, &report.attacks_detected, &report.approval_result}) {
    add(*text);
  }
  for (const auto& [name, version] : report.software_versions) {
    add(name);
    add(version);
  }
  absl::StrAppend(&said, "|", report.length, "|", report.release_counter, "|", report.proxied, "|",
                  report.approval_override, "|", report.quarantined);
  return crypto::Sha256(said).substr(0, kBytes);
}

absl::Duration NextReportDelay(absl::Duration interval, double random) {
  return interval * (0.75 + random / 2);
}

Verdict JudgeReport(const CheckedReport& checked, absl::string_view nonce, absl::Time now,
                    ComponentStatus* status) {
  Verdict verdict;
  verdict.refusal = checked.refusal;
  if (!verdict.refusal.has_value()) {
    if (checked.report->nonce != nonce) {
      verdict.refusal = Refuse(
          kNonceMismatch, "The report does not answer the challenge of the manifest: collect a new one.");
    } else if (status == nullptr) {
      verdict.refusal =
          Refuse(kUnknownComponent, "No such component is provisioned: provision its device first.");
    } else if (checked.report->report_counter <= status->report_counter) {
      verdict.refusal =
          Refuse(kCounterReplayed, absl::StrCat("The report's counter is ", checked.report->report_counter,
                                                " and the last accepted one was ", status->report_counter,
                                                ": a component's counter rises with every report."));
    }
  }
  verdict.accepted = !verdict.refusal.has_value();
  if (status == nullptr) return verdict;

  const State state = status->state;
  if (!verdict.accepted) {
    ++status->refused_reports;
    if (!FailsProof(verdict.refusal->reason)) return verdict;
    status->state = NextState(state, ReportEvent::kFailedProof, /*image_changed=*/false);
    if (status->state != State::kCompromised) return verdict;
    verdict.changed = state != State::kCompromised || status->reason != verdict.refusal->reason;
    status->reason = verdict.refusal->reason;
    return verdict;
  }

  const trust::VersionReport& report = *checked.report;
  InstalledImage image = ImageOf(report);
  verdict.image_changed = status->installed != image;
  status->state = NextState(state, report.proxied ? ReportEvent::kVouchedFor : ReportEvent::kProved,
                            verdict.image_changed);
  if (status->state != State::kModified && status->state != State::kRetired) status->reason.clear();
  verdict.changed = status->state != state || verdict.image_changed ||
                    status->software_versions != report.software_versions ||
                    status->attacks_detected != report.attacks_detected ||
                    status->approval_result != report.approval_result ||
                    status->approval_override != report.approval_override ||
                    status->stopped != report.quarantined || !status->first_report_time.has_value();
  if (verdict.image_changed) status->image_verdict = ImageVerdict::kNone;
  status->installed = std::move(image);
  status->software_versions = report.software_versions;
  status->attacks_detected = report.attacks_detected;
  status->approval_result = report.approval_result;
  status->approval_override = report.approval_override;
  status->stopped = report.quarantined;
  status->report_counter = report.report_counter;
  status->report_time = now;
  if (!status->first_report_time.has_value()) status->first_report_time = now;
  if (status->stopped && status->quarantine.has_value() && !status->quarantine->confirm_time.has_value()) {
    status->quarantine->confirm_time = now;
    verdict.changed = true;
  }
  return verdict;
}

}  // namespace countersign::inventory::domain
