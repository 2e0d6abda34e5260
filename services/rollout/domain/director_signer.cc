#include "services/rollout/domain/director_signer.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/crypto/digest.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/trust/consent_record.h"
#include "common/trust/director.h"
#include "common/trust/envelope.h"
#include "common/trust/keys.h"
#include "common/trust/reasons.h"
#include "common/trust/update.h"

namespace countersign::rollout {
namespace {

std::string Fingerprint(const DirectorSigner::Keys& keys) {
  return crypto::Sha256Hex(absl::StrCat(trust::KeyId(keys.targets->public_key()), "\n",
                                        trust::KeyId(keys.snapshot->public_key()), "\n",
                                        trust::KeyId(keys.timestamp->public_key())));
}

absl::Status CheckRole(const trust::Root& root, const std::string& role, const crypto::PublicKey& key) {
  const auto found = root.roles.find(role);
  if (found != root.roles.end() && found->second.threshold == 1) {
    for (const std::string& id : found->second.key_ids) {
      const auto named = root.keys.find(id);
      if (named != root.keys.end() && named->second == key) return absl::OkStatus();
    }
  }
  return Error(
      absl::StatusCode::kInvalidArgument, "ONLINE_KEY_MISSING",
      absl::StrCat("The root does not let the service's own key sign ", role, " alone: name key ",
                   trust::KeyId(key), " for it, with threshold 1, or start the service with --director-",
                   role, "-key for a key that the root names."),
      {{"role", role}});
}

absl::Status NotNow(absl::string_view reason, absl::string_view message) {
  return Error(absl::StatusCode::kFailedPrecondition, reason, message);
}

absl::Time ToSeconds(absl::Time time) { return absl::FromUnixSeconds(absl::ToUnixSeconds(time)); }

}  // namespace

DirectorSigner::DirectorSigner(Keys keys, crypto::PublicKey consent_key, FindApproved find_approved,
                               Options options)
    : keys_(std::move(keys)),
      consent_key_(std::move(consent_key)),
      find_approved_(std::move(find_approved)),
      options_(options),
      fingerprint_(Fingerprint(keys_)) {}

absl::Status DirectorSigner::Check(absl::string_view gateway, const DirectorCandidate& candidate,
                                   const trust::TargetFile& target, const ApprovedImage* approved,
                                   absl::Time now) const {
  const Assignment& assignment = candidate.assignment;
  if (assignment.gateway != gateway) {
    return NotNow("OTHER_GATEWAY",
                  absl::StrCat("Component ", assignment.ecu_serial, " is behind another gateway."));
  }
  if (candidate.launched_by.empty() || !IsLaunched(candidate.rollout_state)) {
    return NotNow("NOT_LAUNCHED", "Nobody has launched the rollout.");
  }
  if (candidate.ahead) {
    if (!IsWaiting(assignment.state)) return NotNow("NOT_WAITING", "The assignment does not wait.");
    const std::string& path = candidate.release.image.target_path;
    if (approved == nullptr || trust::IsPendingPath(path)) {
      return trust::Refuse(trust::kNotApproved, absl::StrCat(path, " is not approved"));
    }
    RETURN_IF_ERROR(trust::CheckComponent(path, target, approved->target,
                                          {.ecu_serial = assignment.ecu_serial,
                                           .hardware_id = assignment.hardware_id,
                                           .release_counter = assignment.from_release_counter})
                        .status());
    return CheckInLog(path, *approved);
  }
  if (!IsActive(assignment.state)) {
    return NotNow("NOT_ADMITTED", "The assignment has not been let in, or is over.");
  }
  if (assignment.signed_consent.empty())
    return trust::Refuse(trust::kNoConsent, "There is no consent record.");
  ASSIGN_OR_RETURN(const trust::Envelope consent, trust::Envelope::Parse(assignment.signed_consent));

  trust::DirectorEntry entry;
  entry.gateway_id = std::string(gateway);
  entry.ecu_serial = assignment.ecu_serial;
  entry.hardware_id = assignment.hardware_id;
  entry.kind = candidate.release.kind;
  entry.path = candidate.release.image.target_path;
  entry.target = target;
  entry.installed_release_counter = assignment.from_release_counter;
  RETURN_IF_ERROR(trust::CheckEntry(entry, approved == nullptr ? nullptr : &approved->target, &consent,
                                    consent_key_, now));
  return CheckInLog(entry.path, *approved);
}

absl::StatusOr<DirectorSigner::Result> DirectorSigner::Sign(absl::string_view gateway,
                                                            const DirectorVersions& versions,
                                                            absl::Span<const DirectorCandidate> candidates,
                                                            const std::set<std::string>& quarantined,
                                                            absl::Time now) const {
  Result result;
  DirectorMetadata& metadata = result.metadata;
  trust::Targets targets;
  targets.version = versions.targets;
  targets.quarantine = quarantined;
  targets.expires = ToSeconds(now + options_.validity);
  metadata.refresh_targets = now + options_.validity / 2;

  struct Entry {
    const DirectorCandidate* candidate;
    trust::EcuTarget ecu;
    trust::TargetFile target;
    absl::Time consent_until;
  };
  std::vector<Entry> entries;
  std::set<std::string> broken;  // bundles
  std::map<std::string, std::optional<ApprovedImage>> approved;
  for (size_t i = 0; i < candidates.size(); ++i) {
    const DirectorCandidate& candidate = candidates[i];
    const std::string& path = candidate.release.image.target_path;
    auto found = approved.find(path);
    if (found == approved.end()) {
      absl::StatusOr<ApprovedImage> image = find_approved_(path);
      if (!image.ok() && !absl::IsNotFound(image.status())) return image.status();
      found = approved.emplace(path, image.ok() ? std::make_optional(*std::move(image)) : std::nullopt).first;
    }

    trust::EcuTarget ecu{candidate.assignment.hardware_id, "", candidate.bundle};
    absl::Time consent_until = absl::InfiniteFuture();
    // The record's own id and time, from its bytes; Check() says whether they may be believed.
    if (absl::StatusOr<trust::Envelope> envelope =
            trust::Envelope::Parse(candidate.assignment.signed_consent);
        envelope.ok()) {
      if (absl::StatusOr<trust::ConsentRecord> record = trust::ConsentRecord::Parse(*envelope); record.ok()) {
        ecu.consent_record_id = record->record_id;
        consent_until = record->valid_until;
      }
    }
    trust::TargetFile target;
    target.length = candidate.release.image.length;
    target.sha256 = candidate.release.image.sha256;
    target.custom.version = candidate.release.version;
    target.custom.release_counter = candidate.release.release_counter;
    target.custom.ecu_identifiers = {{candidate.assignment.ecu_serial, ecu}};
    if (absl::Status status =
            Check(gateway, candidate, target, found->second.has_value() ? &*found->second : nullptr, now);
        !status.ok()) {
      if (candidate.ahead) continue;
      if (!candidate.bundle.empty()) broken.insert(candidate.bundle);
      result.refused.push_back({i, std::move(status)});
      continue;
    }
    entries.push_back({&candidate, std::move(ecu), std::move(target), consent_until});
  }
  for (const Entry& entry : entries) {
    const DirectorCandidate& candidate = *entry.candidate;
    if (!candidate.ahead && broken.contains(candidate.bundle)) continue;
    // All that pass agree with the one approved target of the path, and so with each other.
    auto& files = candidate.ahead ? targets.prefetch : targets.targets;
    const auto [file, added] = files.try_emplace(candidate.release.image.target_path, entry.target);
    if (!added) file->second.custom.ecu_identifiers.emplace(candidate.assignment.ecu_serial, entry.ecu);
    if (candidate.ahead) continue;
    targets.expires = std::min(targets.expires, ToSeconds(entry.consent_until));
    metadata.refresh_targets = std::min(metadata.refresh_targets, entry.consent_until);
  }

  trust::Envelope envelope = targets.ToEnvelope();
  RETURN_IF_ERROR(envelope.Sign(*keys_.targets));
  metadata.targets = envelope.Serialise();

  trust::Snapshot snapshot;
  snapshot.version = versions.snapshot;
  snapshot.expires = ToSeconds(now + options_.validity);
  snapshot.roles["targets"].version = versions.targets;
  envelope = snapshot.ToEnvelope();
  RETURN_IF_ERROR(envelope.Sign(*keys_.snapshot));
  metadata.snapshot = envelope.Serialise();

  metadata.versions = versions;
  RETURN_IF_ERROR(SignTimestamp(versions.timestamp, metadata, now));
  return result;
}

absl::Status DirectorSigner::SignTimestamp(int64_t version, DirectorMetadata& metadata,
                                           absl::Time now) const {
  trust::Timestamp timestamp;
  timestamp.version = version;
  timestamp.expires = ToSeconds(now + options_.timestamp_validity);
  timestamp.snapshot = trust::FileMeta::Of(metadata.versions.snapshot, metadata.snapshot);
  trust::Envelope envelope = timestamp.ToEnvelope();
  RETURN_IF_ERROR(envelope.Sign(*keys_.timestamp));
  metadata.timestamp = envelope.Serialise();
  metadata.versions.timestamp = version;
  metadata.refresh_timestamp = now + options_.timestamp_validity / 2;
  return absl::OkStatus();
}

absl::Status DirectorSigner::CheckRoot(const trust::Root& root) const {
  RETURN_IF_ERROR(CheckRole(root, "targets", keys_.targets->public_key()));
  RETURN_IF_ERROR(CheckRole(root, "snapshot", keys_.snapshot->public_key()));
  return CheckRole(root, "timestamp", keys_.timestamp->public_key());
}

}  // namespace countersign::rollout
