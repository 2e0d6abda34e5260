#include "services/package_store/domain/repository_rules.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/trust/envelope.h"
#include "common/trust/keys.h"
#include "common/trust/parties.h"
#include "common/trust/verify.h"
#include "services/package_store/domain/refusals.h"

namespace countersign::package_store {
namespace {

constexpr size_t kMaxRootBytes = 256 << 10;
constexpr size_t kMaxTargetsBytes = 1 << 20;

absl::Status Malformed(absl::string_view message) {
  return Error(absl::StatusCode::kInvalidArgument, "METADATA_MALFORMED", message);
}

absl::Status CheckSize(absl::string_view what, absl::string_view bytes, size_t limit) {
  if (!bytes.empty() && bytes.size() <= limit) return absl::OkStatus();
  return Malformed(
      absl::StrCat("The ", what, " metadata must have 1 to ", limit, " bytes; it has ", bytes.size(), "."));
}

absl::Status CheckOnlineKey(const trust::Root& root, const std::string& role, const crypto::Signer& signer) {
  const auto found = root.roles.find(role);
  const std::string key_id = trust::KeyId(signer.public_key());
  if (found != root.roles.end() && found->second.threshold == 1 &&
      std::count(found->second.key_ids.begin(), found->second.key_ids.end(), key_id) > 0) {
    return absl::OkStatus();
  }
  return Error(
      absl::StatusCode::kFailedPrecondition, "ONLINE_KEY_NOT_LISTED",
      absl::StrCat("The root must list key ", key_id, ", with which this service signs, in role ", role,
                   " with threshold 1. To change that key, publish a root with both keys first."),
      {{"role", role}, {"key_id", key_id}});
}

}  // namespace

absl::Status CheckNextVersion(absl::string_view role, int64_t current, int64_t version) {
  if (version == current + 1) return absl::OkStatus();
  return Error(absl::StatusCode::kFailedPrecondition, "VERSION_NOT_NEXT",
               absl::StrCat("Role ", role, " is at version ", current, "; the next must be ", current + 1,
                            ", not ", version, "."),
               {{"current_version", absl::StrCat(current)}});
}

absl::Status CheckOnlineKeys(const trust::Root& root, const OnlineKeys& keys) {
  RETURN_IF_ERROR(CheckOnlineKey(root, kSnapshotRole, *keys.snapshot));
  return CheckOnlineKey(root, kTimestampRole, *keys.timestamp);
}

absl::StatusOr<trust::Root> CheckRoot(const trust::Root* current, absl::string_view bytes,
                                      const OnlineKeys& keys, absl::Time now) {
  RETURN_IF_ERROR(CheckSize(kRootRole, bytes, kMaxRootBytes));
  absl::StatusOr<trust::Root> root =
      current == nullptr ? trust::VerifyFirstRoot(bytes) : trust::VerifyRootSuccession(*current, bytes);
  if (!root.ok()) return AsStoreError(root.status());
  RETURN_IF_ERROR(CheckNextVersion(kRootRole, current == nullptr ? 0 : current->version, root->version));
  RETURN_IF_ERROR(AsStoreError(trust::CheckRootParties(*root)));
  ASSIGN_OR_RETURN(const trust::Envelope envelope, trust::Envelope::Parse(bytes));
  RETURN_IF_ERROR(AsStoreError(trust::VerifyBothParties(envelope, *root)));
  // A root that was published before roots declared parties is followed by one that does.
  if (current != nullptr && !current->parties.empty()) {
    RETURN_IF_ERROR(AsStoreError(trust::VerifyBothParties(envelope, *current)));
  }
  RETURN_IF_ERROR(AsStoreError(trust::CheckNotExpired(kRootRole, root->expires, now)));
  if (!root->consistent_snapshot) return Malformed("The root must set consistent_snapshot.");
  RETURN_IF_ERROR(CheckOnlineKeys(*root, keys));
  return root;
}

absl::StatusOr<trust::Targets> CheckTopTargets(const trust::Root& root, const trust::Targets* current,
                                               absl::string_view bytes, absl::Time now) {
  RETURN_IF_ERROR(CheckSize(kTargetsRole, bytes, kMaxTargetsBytes));
  const absl::StatusOr<trust::Envelope> envelope = trust::Envelope::Parse(bytes);
  if (!envelope.ok()) return AsStoreError(envelope.status());
  absl::StatusOr<trust::Targets> targets = trust::Targets::Parse(*envelope);
  if (!targets.ok()) return AsStoreError(targets.status());
  RETURN_IF_ERROR(AsStoreError(trust::VerifyThreshold(*envelope, root.keys, root.roles.at(kTargetsRole))));
  RETURN_IF_ERROR(
      CheckNextVersion(kTargetsRole, current == nullptr ? 0 : current->version, targets->version));
  RETURN_IF_ERROR(AsStoreError(trust::CheckNotExpired(kTargetsRole, targets->expires, now)));
  if (!targets->targets.empty() || !targets->prefetch.empty()) {
    return Malformed("The top-level targets delegate to the manufacturers and list no images themselves.");
  }
  RETURN_IF_ERROR(AsStoreError(trust::CheckDelegations(*targets, &root)));
  RETURN_IF_ERROR(AsStoreError(trust::VerifyAuthorityChange(*envelope, root, current, *targets)));
  return targets;
}

absl::StatusOr<std::string> SignSnapshot(const std::map<std::string, int64_t>& roles, int64_t version,
                                         absl::Time expires, const crypto::Signer& signer) {
  trust::Snapshot snapshot;
  snapshot.version = version;
  snapshot.expires = expires;
  for (const auto& [role, role_version] : roles) snapshot.roles[role].version = role_version;
  trust::Envelope envelope = snapshot.ToEnvelope();
  RETURN_IF_ERROR(envelope.Sign(signer));
  return envelope.Serialise();
}

absl::StatusOr<std::string> SignTimestamp(int64_t snapshot_version, absl::string_view snapshot_bytes,
                                          int64_t version, absl::Time expires, const crypto::Signer& signer) {
  trust::Timestamp timestamp;
  timestamp.version = version;
  timestamp.expires = expires;
  timestamp.snapshot = trust::FileMeta::Of(snapshot_version, snapshot_bytes);
  trust::Envelope envelope = timestamp.ToEnvelope();
  RETURN_IF_ERROR(envelope.Sign(signer));
  return envelope.Serialise();
}

bool IsVouchedFor(const trust::Root& root, absl::string_view role, absl::string_view bytes) {
  const auto keys = root.roles.find(std::string(role));
  if (keys == root.roles.end()) return false;
  const absl::StatusOr<trust::Envelope> envelope = trust::Envelope::Parse(bytes);
  return envelope.ok() && trust::VerifyThreshold(*envelope, root.keys, keys->second).ok();
}

}  // namespace countersign::package_store
