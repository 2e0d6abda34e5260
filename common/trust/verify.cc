#include "common/trust/verify.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/trust/reasons.h"

namespace countersign::trust {
namespace {

constexpr char kRoot[] = "root";

struct SignatureCount {
  int valid = 0;
  int invalid = 0;  // by a key of the role
};

SignatureCount Count(const Envelope& envelope, const KeyMap& keys, const RoleKeys& role) {
  SignatureCount count;
  std::set<absl::string_view> counted;  // by the key itself: two ids of one key are one vote
  for (const Signature& signature : envelope.signatures()) {
    if (std::find(role.key_ids.begin(), role.key_ids.end(), signature.key_id) == role.key_ids.end()) continue;
    const auto key = keys.find(signature.key_id);
    if (key == keys.end()) continue;
    if (!key->second.Verify(envelope.canonical(), signature.bytes).ok()) {
      ++count.invalid;
    } else if (counted.insert(key->second.Der()).second) {
      ++count.valid;
    }
  }
  return count;
}

absl::string_view FolderOf(absl::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == absl::string_view::npos ? absl::string_view() : path.substr(0, slash);
}

bool ShareHardware(const TargetFile& a, const TargetFile& b) {
  return std::any_of(a.custom.hardware_ids.begin(), a.custom.hardware_ids.end(), [&b](const std::string& id) {
    return std::find(b.custom.hardware_ids.begin(), b.custom.hardware_ids.end(), id) !=
           b.custom.hardware_ids.end();
  });
}

absl::Status CheckTarget(const Delegation& delegation, const std::string& path, const TargetFile& target) {
  if (std::none_of(delegation.paths.begin(), delegation.paths.end(),
                   [&path](const std::string& pattern) { return MatchesPath(pattern, path); })) {
    return Refuse(kPathNotDelegated, absl::StrCat("role ", delegation.name, " may not speak for ", path));
  }
  if (!target.custom.release_counter.has_value()) {
    return Refuse(kReleaseCounterMissing, absl::StrCat(path, " lacks custom.releaseCounter"));
  }
  if (target.custom.hardware_ids.empty()) {
    return Refuse(kHardwareIdsMissing, absl::StrCat(path, " lacks custom.hardwareIds"));
  }
  if (!target.custom.ecu_identifiers.empty()) {
    return Refuse(kMalformed,
                  absl::StrCat(path, " has ecuIdentifiers: who is to install it is for the Director to say"));
  }
  return absl::OkStatus();
}

absl::Status CheckAgainstPrevious(const std::string& path, const TargetFile& target,
                                  const Targets& previous) {
  const auto same = previous.targets.find(path);
  if (same != previous.targets.end()) {
    if (same->second.sha256 != target.sha256 || same->second.length != target.length) {
      return Refuse(kTargetChanged,
                    absl::StrCat(path, " is published with other bytes: give the new image a new path"));
    }
    if (*target.custom.release_counter < same->second.custom.release_counter.value_or(0)) {
      return Refuse(kRollbackAttempt, absl::StrCat("the releaseCounter of ", path, " may not fall"));
    }
    return absl::OkStatus();
  }
  for (const auto& [old_path, old] : previous.targets) {
    if (FolderOf(old_path) == FolderOf(path) && ShareHardware(old, target) &&
        *target.custom.release_counter < old.custom.release_counter.value_or(0)) {
      return Refuse(kRollbackAttempt,
                    absl::StrCat("the releaseCounter of ", path, " is ", *target.custom.release_counter,
                                 ", below that of ", old_path, ", ", *old.custom.release_counter));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status VerifyThreshold(const Envelope& envelope, const KeyMap& keys, const RoleKeys& role) {
  const SignatureCount count = Count(envelope, keys, role);
  if (role.threshold >= 1 && count.valid >= role.threshold) return absl::OkStatus();
  const std::string message = absl::StrCat("the ", envelope.type(), " needs signatures of ", role.threshold,
                                           " distinct keys and has ", count.valid);
  if (count.invalid > 0) {
    return Refuse(kSignatureInvalid, absl::StrCat(message, "; ", count.invalid, " do not match its bytes"));
  }
  return Refuse(kThresholdNotMet, message);
}

int CountSignatures(const Envelope& envelope, const KeyMap& keys, const RoleKeys& role) {
  return Count(envelope, keys, role).valid;
}

absl::Status CheckNotExpired(absl::string_view what, absl::Time expires, absl::Time now) {
  if (now < expires) return absl::OkStatus();
  return Refuse(kExpired,
                absl::StrCat("the ", what, " expired at ", FormatUtc(expires), "; it is ", FormatUtc(now)));
}

absl::StatusOr<Root> VerifyFirstRoot(absl::string_view bytes) {
  ASSIGN_OR_RETURN(const Envelope envelope, Envelope::Parse(bytes));
  ASSIGN_OR_RETURN(Root root, Root::Parse(envelope));
  RETURN_IF_ERROR(VerifyThreshold(envelope, root.keys, root.roles.at(kRoot)));
  return root;
}

absl::StatusOr<Root> VerifyRootSuccession(const Root& current, absl::string_view next_bytes) {
  ASSIGN_OR_RETURN(const Envelope envelope, Envelope::Parse(next_bytes));
  ASSIGN_OR_RETURN(Root next, Root::Parse(envelope));
  const absl::Status by_current = VerifyThreshold(envelope, current.keys, current.roles.at(kRoot));
  RETURN_IF_ERROR(Annotate(by_current, absl::StrCat("by the keys of root version ", current.version)));
  const absl::Status by_next = VerifyThreshold(envelope, next.keys, next.roles.at(kRoot));
  RETURN_IF_ERROR(Annotate(by_next, "by the new root's own keys"));
  if (next.version != current.version + 1) {
    return Refuse(next.version <= current.version ? kMetadataRollback : kRootSkipped,
                  absl::StrCat("root version ", current.version, " is followed by ", current.version + 1,
                               ", not by ", next.version));
  }
  return next;
}

absl::StatusOr<VerifiedTargets> VerifyDelegatedTargets(const Delegations& parent, absl::string_view role_name,
                                                       absl::string_view bytes, const Targets* previous,
                                                       absl::Time now) {
  const Delegation* const delegation = parent.Find(role_name);
  if (delegation == nullptr)
    return Refuse(kUnknownRole, absl::StrCat("no role ", role_name, " is delegated"));
  ASSIGN_OR_RETURN(Envelope envelope, Envelope::Parse(bytes));
  ASSIGN_OR_RETURN(Targets targets, Targets::Parse(envelope));
  RETURN_IF_ERROR(VerifyThreshold(envelope, parent.keys, delegation->keys));
  RETURN_IF_ERROR(CheckNotExpired(role_name, targets.expires, now));
  if (previous != nullptr && targets.version <= previous->version) {
    return Refuse(kMetadataRollback, absl::StrCat("version ", targets.version, " of role ", role_name,
                                                  " must be above the published ", previous->version));
  }
  RETURN_IF_ERROR(CheckTargets(*delegation, targets, previous));
  return VerifiedTargets{std::move(envelope), std::move(targets)};
}

absl::Status CheckTargets(const Delegation& delegation, const Targets& next, const Targets* previous) {
  if (next.delegations.has_value() && !next.delegations->roles.empty()) {
    return Refuse(kPathNotDelegated, absl::StrCat("role ", delegation.name, " may not delegate further"));
  }
  for (const auto& [path, target] : next.targets) {
    RETURN_IF_ERROR(CheckTarget(delegation, path, target));
    if (previous != nullptr) RETURN_IF_ERROR(CheckAgainstPrevious(path, target, *previous));
  }
  return absl::OkStatus();
}

}  // namespace countersign::trust
