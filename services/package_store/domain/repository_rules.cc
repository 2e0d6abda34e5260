#include "services/package_store/domain/repository_rules.h"

#include <algorithm>
#include <set>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/trust/envelope.h"
#include "common/trust/keys.h"
#include "common/trust/verify.h"
#include "services/package_store/domain/names.h"
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

// Whether every pattern is `<prefix>/*` or `<prefix>/*/*`, and there is one at least.
bool CoversOnly(const std::vector<std::string>& patterns, const std::string& prefix) {
  const std::string one = absl::StrCat(prefix, "/*");
  const std::string two = absl::StrCat(prefix, "/*/*");
  return !patterns.empty() && std::all_of(patterns.begin(), patterns.end(), [&](const std::string& pattern) {
    return pattern == one || pattern == two;
  });
}

absl::Status CheckPendingRole(const trust::Delegation& role, const std::string& manufacturer) {
  const std::string prefix = absl::StrCat("pending/", manufacturer);
  if (!role.terminating || !CoversOnly(role.paths, prefix)) {
    return Error(absl::StatusCode::kInvalidArgument, "PATH_NOT_ALLOWED",
                 absl::StrCat("Role ", role.name, " must be terminating and have the paths ", prefix,
                              "/* and ", prefix, "/*/* only."));
  }
  if (role.keys.threshold != 1 || role.keys.key_ids.empty()) {
    return Malformed(
        absl::StrCat("Role ", role.name, " must have threshold 1 and a key of the manufacturer."));
  }
  return absl::OkStatus();
}

absl::Status CheckManufacturerRole(const trust::Delegation& role, const trust::Delegation* pending) {
  if (!role.terminating || !CoversOnly(role.paths, role.name)) {
    return Error(absl::StatusCode::kInvalidArgument, "PATH_NOT_ALLOWED",
                 absl::StrCat("Role ", role.name, " must be terminating and have the paths ", role.name,
                              "/* and ", role.name, "/*/* only."));
  }
  const std::set<std::string> key_ids(role.keys.key_ids.begin(), role.keys.key_ids.end());
  if (role.keys.threshold != 2 || role.keys.key_ids.size() != 2 || key_ids.size() != 2) {
    return Error(absl::StatusCode::kInvalidArgument, "PARTIES_NOT_DISTINCT",
                 absl::StrCat("Role ", role.name,
                              " must have threshold 2 and two keys: the manufacturer's and the Management "
                              "Authority's."));
  }
  if (pending == nullptr) return absl::OkStatus();
  const int shared = std::count_if(pending->keys.key_ids.begin(), pending->keys.key_ids.end(),
                                   [&](const std::string& id) { return key_ids.count(id) > 0; });
  if (shared != 1) {
    return Error(
        absl::StatusCode::kInvalidArgument, "PARTIES_NOT_DISTINCT",
        absl::StrCat("Exactly one key of role ", pending->name,
                     ", which are the manufacturer's, must be in role ", role.name, "; ", shared, " are."));
  }
  return absl::OkStatus();
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
  RETURN_IF_ERROR(AsStoreError(trust::CheckKeysDistinct(root->keys)));
  RETURN_IF_ERROR(AsStoreError(trust::CheckNotExpired(kRootRole, root->expires, now)));
  if (!root->consistent_snapshot) return Malformed("The root must set consistent_snapshot.");
  RETURN_IF_ERROR(CheckOnlineKeys(*root, keys));
  return root;
}

absl::Status CheckDelegations(const trust::Delegations& delegations) {
  RETURN_IF_ERROR(AsStoreError(trust::CheckKeysDistinct(delegations.keys)));
  std::set<std::string> names;
  std::map<std::string, std::string> owner_of_key;  // manufacturers' keys, where `pending` tells them
  for (const trust::Delegation& role : delegations.roles) {
    if (!names.insert(role.name).second)
      return Malformed(absl::StrCat("Role ", role.name, " is delegated twice."));
    absl::string_view stem = role.name;
    if (!absl::ConsumeSuffix(&stem, "-pending")) continue;
    const std::string manufacturer(stem);
    if (!IsManufacturerId(manufacturer))
      return Malformed(absl::StrCat("Role ", role.name, " names no manufacturer."));
    RETURN_IF_ERROR(CheckPendingRole(role, manufacturer));
    for (const std::string& key_id : role.keys.key_ids) {
      const auto [owner, is_new] = owner_of_key.emplace(key_id, manufacturer);
      if (!is_new && owner->second != manufacturer) {
        return Error(absl::StatusCode::kInvalidArgument, "PARTIES_NOT_DISTINCT",
                     absl::StrCat("Key ", key_id, " is in the pending roles of both ", owner->second, " and ",
                                  manufacturer, "."));
      }
    }
  }
  for (const trust::Delegation& role : delegations.roles) {
    if (absl::EndsWith(role.name, "-pending")) continue;
    if (!IsManufacturerId(role.name)) {
      return Malformed(
          absl::StrCat("Role ", role.name, " names no manufacturer: [a-z0-9-], at most 56 characters."));
    }
    RETURN_IF_ERROR(CheckManufacturerRole(role, delegations.Find(absl::StrCat(role.name, "-pending"))));
    for (const std::string& key_id : role.keys.key_ids) {
      const auto owner = owner_of_key.find(key_id);
      if (owner == owner_of_key.end() || owner->second == role.name) continue;
      return Error(absl::StatusCode::kInvalidArgument, "PARTIES_NOT_DISTINCT",
                   absl::StrCat("Key ", key_id, " of manufacturer ", owner->second, " stands in role ",
                                role.name, "."));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<trust::Targets> CheckTopTargets(const trust::Root& root, int64_t current_version,
                                               absl::string_view bytes, absl::Time now) {
  RETURN_IF_ERROR(CheckSize(kTargetsRole, bytes, kMaxTargetsBytes));
  const absl::StatusOr<trust::Envelope> envelope = trust::Envelope::Parse(bytes);
  if (!envelope.ok()) return AsStoreError(envelope.status());
  absl::StatusOr<trust::Targets> targets = trust::Targets::Parse(*envelope);
  if (!targets.ok()) return AsStoreError(targets.status());
  RETURN_IF_ERROR(AsStoreError(trust::VerifyThreshold(*envelope, root.keys, root.roles.at(kTargetsRole))));
  RETURN_IF_ERROR(CheckNextVersion(kTargetsRole, current_version, targets->version));
  RETURN_IF_ERROR(AsStoreError(trust::CheckNotExpired(kTargetsRole, targets->expires, now)));
  if (!targets->targets.empty() || !targets->prefetch.empty()) {
    return Malformed("The top-level targets delegate to the manufacturers and list no images themselves.");
  }
  if (targets->delegations) RETURN_IF_ERROR(CheckDelegations(*targets->delegations));
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
