#include "services/package_store/domain/package_state.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/status/errors.h"
#include "common/trust/dsse.h"
#include "common/trust/keys.h"
#include "common/trust/reasons.h"
#include "common/trust/revocation.h"

namespace countersign::package_store {
namespace {

// How far the authority's clock may be from ours.
constexpr absl::Duration kClockTolerance = absl::Minutes(5);

constexpr const char* kStateNames[] = {"APPROVED", "REVOKED", "WITHDRAWN"};
constexpr const char* kKindNames[] = {"PROPOSED",   "APPROVED", "REFUSED",
                                      "SUPERSEDED", "REVOKED",  "WITHDRAWN"};

absl::Status StatementInvalid(absl::string_view message) {
  return Error(absl::StatusCode::kInvalidArgument, "STATEMENT_INVALID", message);
}

// The keys that may speak for the authority about `package`. Those that approved it, as long as the role
// still has them: a role's other key may be a manufacturer's that came later.
trust::KeyMap AuthorityKeys(const Package& package, const trust::Delegations& delegations) {
  trust::KeyMap keys;
  const trust::Delegation* role = delegations.Find(package.manufacturer);
  if (role == nullptr) return keys;
  for (const std::string& id : package.authority_key_ids) {
    const auto key = delegations.keys.find(id);
    if (key == delegations.keys.end()) continue;
    if (std::count(role->keys.key_ids.begin(), role->keys.key_ids.end(), id) > 0) keys.insert(*key);
  }
  return keys;
}

}  // namespace

absl::string_view PackageStateName(PackageState state) { return kStateNames[static_cast<int>(state)]; }

absl::StatusOr<PackageState> ParsePackageState(absl::string_view name) {
  for (PackageState state : {PackageState::kApproved, PackageState::kRevoked, PackageState::kWithdrawn}) {
    if (PackageStateName(state) == name) return state;
  }
  return absl::InternalError(absl::StrCat("no package state is called ", name));
}

absl::string_view PackageEventKindName(PackageEventKind kind) { return kKindNames[static_cast<int>(kind)]; }

absl::StatusOr<PackageEventKind> ParsePackageEventKind(absl::string_view name) {
  using enum PackageEventKind;
  for (PackageEventKind kind : {kProposed, kApproved, kRefused, kSuperseded, kRevoked, kWithdrawn}) {
    if (PackageEventKindName(kind) == name) return kind;
  }
  return absl::InternalError(absl::StrCat("no package event is called ", name));
}

absl::StatusOr<std::vector<std::string>> CheckRevocation(const Package& package,
                                                         const trust::Delegations& delegations,
                                                         absl::string_view reason,
                                                         absl::string_view statement_bytes, absl::Time now) {
  const std::string& path = package.target.target_path;
  const absl::StatusOr<trust::DsseEnvelope> envelope = trust::DsseEnvelope::Parse(statement_bytes);
  if (!envelope.ok()) {
    return StatementInvalid(
        absl::StrCat("The revocation statement is no DSSE envelope: ", envelope.status().message()));
  }
  const absl::StatusOr<trust::RevocationStatement> statement = trust::RevocationStatement::Parse(*envelope);
  if (!statement.ok()) {
    return StatementInvalid(
        absl::StrCat("The revocation statement cannot be read: ", statement.status().message()));
  }
  if (statement->target_path != path) {
    return StatementInvalid(
        absl::StrCat("The statement revokes ", statement->target_path, ", not ", path, "."));
  }
  if (statement->sha256 != package.target.sha256 || statement->role_version != package.role_version) {
    return StatementInvalid(absl::StrCat("The statement about ", path,
                                         " is of another publication of it: digest or role version differ."));
  }
  if (statement->reason != reason) {
    return StatementInvalid(absl::StrCat("The statement about ", path, " gives another reason."));
  }
  // An old one is about an approval that was given again since.
  if (statement->revoked_at < package.approved_at - kClockTolerance ||
      statement->revoked_at > now + kClockTolerance) {
    return StatementInvalid(
        absl::StrCat("The statement about ", path, " is not of a time since its approval."));
  }
  if (envelope->signatures.empty()) return StatementInvalid("The revocation statement is not signed.");
  const trust::KeyMap authority = AuthorityKeys(package, delegations);
  const std::string signed_bytes = trust::DssePreAuthEncoding(envelope->payload_type, envelope->payload);
  std::vector<std::string> key_ids;
  for (const trust::Signature& signature : envelope->signatures) {
    const auto key = authority.find(signature.key_id);
    if (key == authority.end()) {
      return Error(
          absl::StatusCode::kInvalidArgument, trust::kUnknownKey,
          absl::StrCat("Key ", signature.key_id, " is not the authority's that approved ", path, "."));
    }
    if (!key->second.Verify(signed_bytes, signature.bytes).ok()) {
      return Error(
          absl::StatusCode::kInvalidArgument, trust::kSignatureInvalid,
          absl::StrCat("The signature of key ", signature.key_id, " is not one over this statement."));
    }
    key_ids.push_back(signature.key_id);
  }
  return key_ids;
}

}  // namespace countersign::package_store
