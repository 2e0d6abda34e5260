#include "common/trust/client.h"

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/crypto/digest.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/trust/envelope.h"
#include "common/trust/reasons.h"
#include "common/trust/verify.h"

namespace countersign::trust {
namespace {

constexpr char kRoot[] = "root";
constexpr char kTimestamp[] = "timestamp";
constexpr char kSnapshot[] = "snapshot";
constexpr char kTargets[] = "targets";

absl::StatusOr<std::string> FetchCapped(Fetcher& fetcher, const std::string& filename, int64_t max_length) {
  absl::StatusOr<std::string> bytes = fetcher.Fetch(filename, max_length);
  if (!bytes.ok()) return Annotate(bytes.status(), absl::StrCat("fetching ", filename));
  // A fetcher is not trusted to have stopped.
  if (static_cast<int64_t>(bytes->size()) > max_length) {
    return Refuse(kLengthExceeded, absl::StrCat(filename, " has more than ", max_length, " bytes"));
  }
  return bytes;
}

// Reads, verifies and parses the document of a role.
template <typename T>
absl::StatusOr<T> ReadRole(absl::string_view bytes, const KeyMap& keys, const RoleKeys& role_keys) {
  ASSIGN_OR_RETURN(const Envelope envelope, Envelope::Parse(bytes));
  // The type first: what is of another role has other signers, and that is not what is wrong with it.
  ASSIGN_OR_RETURN(T value, T::Parse(envelope));
  RETURN_IF_ERROR(VerifyThreshold(envelope, keys, role_keys));
  return value;
}

absl::Status CheckBytes(absl::string_view what, absl::string_view bytes, const FileMeta& meta) {
  if (meta.length.has_value() && static_cast<int64_t>(bytes.size()) != *meta.length) {
    return Refuse(kLengthMismatch,
                  absl::StrCat(what, " has ", bytes.size(), " bytes, not the ", *meta.length, " promised"));
  }
  if (meta.sha256.has_value() && crypto::Sha256Hex(bytes) != *meta.sha256) {
    return Refuse(kDigestMismatch, absl::StrCat(what, " is not the file whose SHA-256 was promised"));
  }
  return absl::OkStatus();
}

// What the store has, if it (still) verifies, and is what `meta` promises if that is given. A document that a
// rotated key no longer vouches for is as good as none.
template <typename T>
absl::StatusOr<std::optional<T>> LoadRole(const TrustedStore& store, absl::string_view role,
                                          const KeyMap& keys, const RoleKeys& role_keys,
                                          const FileMeta* meta = nullptr) {
  ASSIGN_OR_RETURN(const std::optional<std::string> bytes, store.Load(role));
  if (!bytes.has_value()) return std::nullopt;
  if (meta != nullptr && !CheckBytes(role, *bytes, *meta).ok()) return std::nullopt;
  absl::StatusOr<T> value = ReadRole<T>(*bytes, keys, role_keys);
  if (!value.ok()) return std::nullopt;
  return *std::move(value);
}

// Whether a role's keys are others: by the keys themselves, so that a PEM written anew is no rotation.
bool KeysRotated(const Root& before, const Root& after, const std::string& role) {
  const auto keys_of = [&role](const Root& root) {
    std::set<std::string> keys;
    for (const std::string& id : root.roles.at(role).key_ids) keys.insert(root.keys.at(id).Der());
    return keys;
  };
  return keys_of(before) != keys_of(after);
}

int64_t CapOf(const FileMeta& meta, int64_t limit) { return std::min(meta.length.value_or(limit), limit); }

}  // namespace

absl::StatusOr<std::string> MapFetcher::Fetch(absl::string_view filename, int64_t max_length) {
  const auto found = files_.find(std::string(filename));
  if (found == files_.end()) return absl::NotFoundError(absl::StrCat("there is no ", filename));
  if (static_cast<int64_t>(found->second.size()) > max_length) {
    return Refuse(kLengthExceeded, absl::StrCat(filename, " has more than ", max_length, " bytes"));
  }
  return found->second;
}

RepositoryClient::RepositoryClient(Fetcher* fetcher, TrustedStore* store, std::string initial_root,
                                   const ClientLimits& limits)
    : fetcher_(fetcher), store_(store), initial_root_(std::move(initial_root)), limits_(limits) {}

absl::Status RepositoryClient::Refresh(absl::Time now) {
  fresh_ = false;
  delegated_.clear();
  RETURN_IF_ERROR(LoadTrustedRoot());
  RETURN_IF_ERROR(UpdateRoot(now));
  RETURN_IF_ERROR(UpdateTimestamp(now));
  RETURN_IF_ERROR(UpdateSnapshot(now));
  ASSIGN_OR_RETURN(targets_, LoadTargets(kTargets, root_->keys, root_->roles.at(kTargets), now));
  fresh_ = true;
  return absl::OkStatus();
}

absl::Status RepositoryClient::LoadTrustedRoot() {
  ASSIGN_OR_RETURN(const std::optional<std::string> stored, store_->Load(kRoot));
  ASSIGN_OR_RETURN(root_, VerifyFirstRoot(stored.has_value() ? *stored : initial_root_));
  return stored.has_value() ? absl::OkStatus() : store_->Save(kRoot, initial_root_);
}

absl::Status RepositoryClient::UpdateRoot(absl::Time now) {
  int rotations = 0;
  for (;; ++rotations) {
    if (rotations == limits_.max_root_rotations) {
      return Refuse(kLimitExceeded,
                    absl::StrCat("more than ", rotations, " new roots; refresh again to go on"));
    }
    const absl::StatusOr<std::string> bytes =
        FetchCapped(*fetcher_, MetadataFilename(kRoot, root_->version + 1), limits_.max_root_bytes);
    if (absl::IsNotFound(bytes.status())) break;
    RETURN_IF_ERROR(bytes.status());
    ASSIGN_OR_RETURN(Root next, VerifyRootSuccession(*root_, *bytes));
    // Fast-forward recovery (5.3.11): versions that a thief of the old keys has driven up must not lock us
    // out. Before the root is saved, so that a power cut in between cannot lose it.
    if (KeysRotated(*root_, next, kTimestamp) || KeysRotated(*root_, next, kSnapshot)) {
      RETURN_IF_ERROR(store_->Remove(kTimestamp));
      RETURN_IF_ERROR(store_->Remove(kSnapshot));
    }
    RETURN_IF_ERROR(store_->Save(kRoot, *bytes));
    root_ = std::move(next);
  }
  return CheckNotExpired(kRoot, root_->expires, now);
}

absl::Status RepositoryClient::UpdateTimestamp(absl::Time now) {
  const RoleKeys& role_keys = root_->roles.at(kTimestamp);
  ASSIGN_OR_RETURN(const std::optional<Timestamp> trusted,
                   LoadRole<Timestamp>(*store_, kTimestamp, root_->keys, role_keys));
  ASSIGN_OR_RETURN(const std::string bytes,
                   FetchCapped(*fetcher_, "timestamp.json", limits_.max_timestamp_bytes));
  ASSIGN_OR_RETURN(timestamp_, ReadRole<Timestamp>(bytes, root_->keys, role_keys));
  if (trusted.has_value()) {
    if (timestamp_->version < trusted->version || timestamp_->snapshot.version < trusted->snapshot.version) {
      return Refuse(kMetadataRollback, absl::StrCat("timestamp version ", timestamp_->version,
                                                    " with snapshot ", timestamp_->snapshot.version,
                                                    " is older than what was seen: ", trusted->version,
                                                    " with ", trusted->snapshot.version));
    }
    // Two documents of one version: the first stays.
    if (timestamp_->version == trusted->version) timestamp_ = trusted;
  }
  RETURN_IF_ERROR(CheckNotExpired(kTimestamp, timestamp_->expires, now));
  if (trusted.has_value() && timestamp_->version == trusted->version) return absl::OkStatus();
  return store_->Save(kTimestamp, bytes);
}

absl::Status RepositoryClient::UpdateSnapshot(absl::Time now) {
  const FileMeta& meta = timestamp_->snapshot;
  const RoleKeys& role_keys = root_->roles.at(kSnapshot);
  ASSIGN_OR_RETURN(const std::optional<Snapshot> trusted,
                   LoadRole<Snapshot>(*store_, kSnapshot, root_->keys, role_keys));
  ASSIGN_OR_RETURN(snapshot_, LoadRole<Snapshot>(*store_, kSnapshot, root_->keys, role_keys, &meta));
  std::optional<std::string> fetched;
  if (!snapshot_.has_value() || snapshot_->version != meta.version) {
    ASSIGN_OR_RETURN(fetched, FetchCapped(*fetcher_, Filename(kSnapshot, meta.version),
                                          CapOf(meta, limits_.max_snapshot_bytes)));
    RETURN_IF_ERROR(CheckBytes("the snapshot", *fetched, meta));
    ASSIGN_OR_RETURN(snapshot_, ReadRole<Snapshot>(*fetched, root_->keys, role_keys));
  }
  if (snapshot_->version != meta.version) {
    return Refuse(kVersionMismatch, absl::StrCat("the snapshot has version ", snapshot_->version,
                                                 ", the timestamp promises ", meta.version));
  }
  if (trusted.has_value()) {
    for (const auto& [role, before] : trusted->roles) {
      const auto after = snapshot_->roles.find(role);
      if (after == snapshot_->roles.end()) {
        return Refuse(kMetadataRollback, absl::StrCat("the snapshot no longer lists role ", role));
      }
      if (after->second.version < before.version) {
        return Refuse(kMetadataRollback,
                      absl::StrCat("the snapshot lists role ", role, " in version ", after->second.version,
                                   "; version ", before.version, " was seen"));
      }
    }
  }
  RETURN_IF_ERROR(CheckNotExpired(kSnapshot, snapshot_->expires, now));
  return fetched.has_value() ? store_->Save(kSnapshot, *fetched) : absl::OkStatus();
}

absl::StatusOr<Targets> RepositoryClient::LoadTargets(const std::string& role, const KeyMap& keys,
                                                      const RoleKeys& role_keys, absl::Time now) {
  const auto meta = snapshot_->roles.find(role);
  if (meta == snapshot_->roles.end()) {
    return Refuse(kRoleNotPublished,
                  absl::StrCat("role ", role, " is delegated, but the snapshot does not list it"));
  }
  ASSIGN_OR_RETURN(std::optional<Targets> targets,
                   LoadRole<Targets>(*store_, role, keys, role_keys, &meta->second));
  std::optional<std::string> fetched;
  if (!targets.has_value() || targets->version != meta->second.version) {
    ASSIGN_OR_RETURN(fetched, FetchCapped(*fetcher_, Filename(role, meta->second.version),
                                          CapOf(meta->second, limits_.max_targets_bytes)));
    RETURN_IF_ERROR(CheckBytes(role, *fetched, meta->second));
    ASSIGN_OR_RETURN(targets, ReadRole<Targets>(*fetched, keys, role_keys));
  }
  if (targets->version != meta->second.version) {
    return Refuse(kVersionMismatch, absl::StrCat("role ", role, " has version ", targets->version,
                                                 ", the snapshot promises ", meta->second.version));
  }
  RETURN_IF_ERROR(CheckNotExpired(role, targets->expires, now));
  if (fetched.has_value()) RETURN_IF_ERROR(store_->Save(role, *fetched));
  return *std::move(targets);
}

absl::StatusOr<TargetFile> RepositoryClient::FindTarget(absl::string_view path, absl::Time now) {
  if (!fresh_)
    return absl::FailedPreconditionError("refresh the metadata first: the last refresh did not succeed");
  struct Visit {
    std::string chain;  // the roles that lead here: what the loaded metadata is remembered by
    const Targets* parent;
    const Delegation* delegation;
    int depth;
  };
  std::vector<Visit> to_visit;  // the next one is the last
  std::set<std::string> visited;
  const Targets* current = &*targets_;
  std::string chain = kTargets;
  int depth = 0;
  for (;;) {
    if (const auto found = current->targets.find(std::string(path)); found != current->targets.end()) {
      return found->second;
    }
    std::vector<Visit> matching;
    if (current->delegations.has_value()) {
      for (const Delegation& delegation : current->delegations->roles) {
        if (std::none_of(delegation.paths.begin(), delegation.paths.end(),
                         [path](const std::string& pattern) { return MatchesPath(pattern, path); })) {
          continue;
        }
        matching.push_back({absl::StrCat(chain, "/", delegation.name), current, &delegation, depth + 1});
        if (delegation.terminating) {
          to_visit.clear();
          break;
        }
      }
    }
    to_visit.insert(to_visit.end(), matching.rbegin(), matching.rend());

    // A role that was visited already ends the cycle, as if it were not there.
    while (!to_visit.empty() && visited.contains(to_visit.back().delegation->name)) to_visit.pop_back();
    if (to_visit.empty()) return Refuse(kTargetUnknown, absl::StrCat("nobody vouches for ", path));
    const Visit next = std::move(to_visit.back());
    to_visit.pop_back();
    if (next.depth > limits_.max_delegation_depth) {
      return Refuse(kLimitExceeded, absl::StrCat("delegations deeper than ", limits_.max_delegation_depth));
    }
    visited.insert(next.delegation->name);
    if (static_cast<int>(visited.size()) > limits_.max_delegations_visited) {
      return Refuse(kLimitExceeded,
                    absl::StrCat("more than ", limits_.max_delegations_visited, " roles to ask for ", path));
    }
    auto loaded = delegated_.find(next.chain);
    if (loaded == delegated_.end()) {
      ASSIGN_OR_RETURN(Targets targets, LoadTargets(next.delegation->name, next.parent->delegations->keys,
                                                    next.delegation->keys, now));
      loaded = delegated_.emplace(next.chain, std::move(targets)).first;
    }
    current = &loaded->second;
    chain = next.chain;
    depth = next.depth;
  }
}

absl::StatusOr<std::vector<ReachedRole>> RepositoryClient::ReachedRoles() {
  if (!fresh_)
    return absl::FailedPreconditionError("refresh the metadata first: the last refresh did not succeed");
  struct Visit {
    Targets parent;
    int depth;
  };
  std::vector<ReachedRole> reached;
  std::set<std::string> done;  // a role and the delegation that leads to it
  std::vector<Visit> to_visit = {{*targets_, 1}};
  while (!to_visit.empty()) {
    const Visit visit = std::move(to_visit.back());
    to_visit.pop_back();
    if (!visit.parent.delegations.has_value()) continue;
    for (const Delegation& delegation : visit.parent.delegations->roles) {
      if (!snapshot_->roles.contains(delegation.name)) continue;
      const std::string way = absl::StrCat(delegation.name, " ", delegation.keys.threshold, " ",
                                           absl::StrJoin(delegation.keys.key_ids, " "));
      if (!done.insert(way).second) continue;
      if (visit.depth > limits_.max_delegation_depth) {
        return Refuse(kLimitExceeded, absl::StrCat("delegations deeper than ", limits_.max_delegation_depth));
      }
      absl::StatusOr<Targets> targets =
          LoadTargets(delegation.name, visit.parent.delegations->keys, delegation.keys, absl::InfinitePast());
      // What does not verify is nobody's; what could not be fetched may be all right.
      if (!targets.ok() && !absl::IsInvalidArgument(targets.status()) &&
          !absl::IsFailedPrecondition(targets.status())) {
        return targets.status();
      }
      if (targets.ok()) to_visit.push_back({*targets, visit.depth + 1});
      reached.push_back({delegation.name, std::move(targets)});
    }
  }
  return reached;
}

std::string RepositoryClient::Filename(absl::string_view role, int64_t version) const {
  return root_->consistent_snapshot ? MetadataFilename(role, version) : absl::StrCat(role, ".json");
}

}  // namespace countersign::trust
