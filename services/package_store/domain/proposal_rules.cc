#include "services/package_store/domain/proposal_rules.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/trust/dsse.h"
#include "common/trust/keys.h"
#include "common/trust/parties.h"
#include "common/trust/reasons.h"
#include "common/trust/verify.h"
#include "services/package_store/domain/names.h"
#include "services/package_store/domain/refusals.h"
#include "services/package_store/domain/repository_rules.h"

namespace countersign::package_store {
namespace {

constexpr size_t kMaxMetadataBytes = 1 << 20;
constexpr int64_t kMaxImageBytes = int64_t{1} << 40;
constexpr size_t kMaxHardwareIds = 64;
constexpr size_t kMaxTextLength = 64;
// How far the authority's clock may be ahead of ours when it says "valid from now".
constexpr absl::Duration kClockTolerance = absl::Minutes(5);

absl::Status Malformed(absl::string_view message) {
  return Error(absl::StatusCode::kInvalidArgument, "METADATA_MALFORMED", message);
}

absl::Status StatementInvalid(absl::string_view message) {
  return Error(absl::StatusCode::kInvalidArgument, "STATEMENT_INVALID", message);
}

bool IsShortText(absl::string_view text) {
  return !text.empty() && text.size() <= kMaxTextLength &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) { return absl::ascii_isprint(c); });
}

absl::Status CheckTarget(const std::string& path, const trust::TargetFile& target,
                         absl::string_view manufacturer) {
  const absl::StatusOr<TargetPath> parsed = ParseTargetPath(path);
  if (!parsed.ok() || parsed->manufacturer != manufacturer) {
    return Error(absl::StatusCode::kInvalidArgument, "PATH_NOT_ALLOWED",
                 absl::StrCat("Target ", path, " must be ", manufacturer, "/<component>/<file>."),
                 {{"target_path", path}});
  }
  const trust::TargetCustom& custom = target.custom;
  if (!custom.release_counter || *custom.release_counter < 1 ||
      *custom.release_counter > trust::kMaxVersion) {
    return Malformed(absl::StrCat("Target ", path, " needs custom.releaseCounter, 1 to 2^31-1."));
  }
  if (!IsShortText(custom.version)) {
    return Malformed(absl::StrCat("Target ", path, " needs custom.version, 1 to 64 printable characters."));
  }
  if (custom.hardware_ids.empty() || custom.hardware_ids.size() > kMaxHardwareIds ||
      !std::all_of(custom.hardware_ids.begin(), custom.hardware_ids.end(), IsShortText)) {
    return Malformed(
        absl::StrCat("Target ", path, " needs custom.hardwareIds, 1 to 64 of 1 to 64 printable characters."));
  }
  if (target.length < 1 || target.length > kMaxImageBytes) {
    return Malformed(absl::StrCat("Target ", path, " must have a length of 1 to 2^40 bytes."));
  }
  return absl::OkStatus();
}

absl::Status CheckImage(const std::string& path, const trust::TargetFile& target,
                        const std::map<std::string, int64_t>& images) {
  const auto image = images.find(target.sha256);
  if (image == images.end()) {
    return Error(absl::StatusCode::kFailedPrecondition, "IMAGE_MISSING",
                 absl::StrCat("The image of target ", path, " is not stored; upload it first."),
                 {{"target_path", path}, {"sha256", target.sha256}});
  }
  if (image->second != target.length) {
    return Error(absl::StatusCode::kFailedPrecondition, "LENGTH_MISMATCH",
                 absl::StrCat("The image of target ", path, " has ", image->second, " bytes, not ",
                              target.length, "."),
                 {{"target_path", path}, {"sha256", target.sha256}});
  }
  return absl::OkStatus();
}

absl::Status CheckReleaseCounter(const ProposedTarget& target,
                                 const std::map<std::string, int64_t>& highest) {
  ASSIGN_OR_RETURN(const TargetPath path, ParseTargetPath(target.target_path));
  const auto component = highest.find(path.component);
  if (component == highest.end() || target.release_counter >= component->second) return absl::OkStatus();
  return Error(absl::StatusCode::kFailedPrecondition, "RELEASE_COUNTER_FELL",
               absl::StrCat("Component ", path.component, " has had release counter ", component->second,
                            "; target ", target.target_path, " must not have ", target.release_counter, "."),
               {{"target_path", target.target_path}, {"highest", absl::StrCat(component->second)}});
}

absl::Status CheckNotRevoked(const std::string& path, const std::set<std::string>& revoked) {
  if (revoked.count(path) == 0) return absl::OkStatus();
  return Error(absl::StatusCode::kFailedPrecondition, "REVOKED",
               absl::StrCat("Target ", path,
                            " was revoked; leave it out. What is to be approved again, if "
                            "anything, is proposed under another path."),
               {{"target_path", path}});
}

// The delegation's keys that have signed. A signature that is wrong, or of anyone else, is refused, so that
// nothing unverified is ever published.
absl::StatusOr<std::vector<std::string>> Signers(const trust::Envelope& envelope,
                                                 const trust::Delegation& role, const trust::KeyMap& keys) {
  std::vector<std::string> signers;
  for (const trust::Signature& signature : envelope.signatures()) {
    const auto key = keys.find(signature.key_id);
    if (key == keys.end() ||
        std::count(role.keys.key_ids.begin(), role.keys.key_ids.end(), signature.key_id) == 0) {
      return Error(absl::StatusCode::kInvalidArgument, trust::kUnknownKey,
                   absl::StrCat("Key ", signature.key_id, " is none of role ", role.name,
                                "; leave its signature out."));
    }
    if (!envelope.VerifyBy(signature.key_id, key->second).ok()) {
      return Error(absl::StatusCode::kInvalidArgument, trust::kSignatureInvalid,
                   absl::StrCat("The signature of key ", signature.key_id,
                                " is not one over these bytes: sign the canonical JSON of `signed`."));
    }
    signers.push_back(signature.key_id);
  }
  return signers;
}

absl::StatusOr<ReviewedProposal> ReviewSigners(const trust::Envelope& envelope, const trust::Delegation& role,
                                               const RepositoryState& state) {
  ReviewedProposal review;
  review.delegation = &role;
  for (const std::string& key_id : role.keys.key_ids) {
    const std::string party = trust::PartyOf(*state.parties, key_id);
    if (party == role.name) review.manufacturer_key_id = key_id;
    if (party == trust::kAuthorityParty) review.authority_key_id = key_id;
  }
  if (review.manufacturer_key_id.empty() || review.authority_key_id.empty()) {
    return Error(absl::StatusCode::kFailedPrecondition, trust::kPartiesNotDeclared,
                 absl::StrCat("The targets metadata in force does not say which key of role ", role.name,
                              " is whose; the operator and the authority publish one that does."));
  }
  ASSIGN_OR_RETURN(const std::vector<std::string> signers, Signers(envelope, role, state.delegations->keys));
  if (signers.empty()) {
    return Error(
        absl::StatusCode::kInvalidArgument, trust::kThresholdNotMet,
        absl::StrCat("The proposal lacks the signature of the manufacturer's key in role ", role.name, "."));
  }
  if (std::count(signers.begin(), signers.end(), review.authority_key_id) > 0) {
    return Error(absl::StatusCode::kInvalidArgument, trust::kPartiesNotDistinct,
                 "A proposal has the manufacturer's signature only; the authority signs when it approves.");
  }
  return review;
}

std::vector<ProposedTarget> ChangedTargets(const trust::Targets& next, const trust::Targets* in_force) {
  std::vector<ProposedTarget> changed;
  for (const auto& [path, target] : next.targets) {
    if (in_force != nullptr) {
      const auto before = in_force->targets.find(path);
      if (before != in_force->targets.end() && before->second == target) continue;
    }
    changed.push_back({path, target.length, target.sha256, target.custom.hardware_ids, target.custom.version,
                       target.custom.release_counter.value_or(0)});
  }
  return changed;
}

// Which changed target `bytes` are the authority's statement about.
absl::StatusOr<std::string> CheckStatement(const std::string& bytes,
                                           const std::vector<ProposedTarget>& changed, int64_t role_version,
                                           const trust::KeyMap& authority, absl::Time now) {
  const absl::StatusOr<trust::DsseEnvelope> envelope = trust::DsseEnvelope::Parse(bytes);
  if (!envelope.ok())
    return StatementInvalid(
        absl::StrCat("An approval statement is no DSSE envelope: ", envelope.status().message()));
  const absl::StatusOr<trust::ApprovalStatement> statement = trust::ApprovalStatement::Parse(*envelope);
  if (!statement.ok())
    return StatementInvalid(
        absl::StrCat("An approval statement cannot be read: ", statement.status().message()));
  const std::string& path = statement->target_path;
  const auto target = std::find_if(changed.begin(), changed.end(), [&](const ProposedTarget& candidate) {
    return candidate.target_path == path;
  });
  if (target == changed.end()) {
    return StatementInvalid(
        absl::StrCat("There is a statement about ", path, ", which the proposal does not change."));
  }
  if (statement->sha256 != target->sha256 || statement->release_counter != target->release_counter ||
      statement->hardware_ids != target->hardware_ids || statement->role_version != role_version) {
    return StatementInvalid(
        absl::StrCat("The statement about ", path,
                     " differs from the proposal in digest, release counter, hardware ids or role version."));
  }
  // A card compares with its own clock; a statement that begins a moment from now is no mistake.
  const absl::Time at = statement->valid_from > now && statement->valid_from - now <= kClockTolerance
                            ? statement->valid_from
                            : now;
  for (const std::string& hardware_id : target->hardware_ids) {
    const trust::ApprovalResult result = trust::CheckApproval(
        bytes, authority, {target->sha256, path, hardware_id, target->release_counter}, at);
    if (result != trust::ApprovalResult::kApproved) {
      return StatementInvalid(absl::StrCat("The statement about ", path,
                                           " does not hold: ", trust::ApprovalResultName(result), "."));
    }
  }
  return path;
}

}  // namespace

absl::StatusOr<ParsedProposal> ParseProposal(absl::string_view bytes) {
  if (bytes.empty() || bytes.size() > kMaxMetadataBytes) {
    return Malformed(absl::StrCat("The metadata must have 1 to ", kMaxMetadataBytes, " bytes; it has ",
                                  bytes.size(), "."));
  }
  absl::StatusOr<trust::Envelope> envelope = trust::Envelope::Parse(bytes);
  if (!envelope.ok()) return AsStoreError(envelope.status());
  absl::StatusOr<trust::Targets> targets = trust::Targets::Parse(*envelope);
  if (!targets.ok()) return AsStoreError(targets.status());
  return ParsedProposal{*std::move(envelope), *std::move(targets)};
}

absl::StatusOr<ReviewedProposal> ReviewProposal(const ParsedProposal& proposal,
                                                absl::string_view manufacturer, const RepositoryState& state,
                                                absl::Time now) {
  const trust::Delegation* role =
      state.delegations == nullptr ? nullptr : state.delegations->Find(manufacturer);
  if (role == nullptr) {
    return Error(absl::StatusCode::kFailedPrecondition, "NOT_DELEGATED",
                 absl::StrCat("The targets metadata in force does not delegate to ", manufacturer,
                              "; the operator and the authority publish one that does."));
  }
  ASSIGN_OR_RETURN(ReviewedProposal review, ReviewSigners(proposal.envelope, *role, state));
  const trust::Targets& next = proposal.targets;
  if (!next.prefetch.empty()) return Malformed("Only a Director's metadata has custom.prefetch.");
  for (const auto& [path, target] : next.targets) RETURN_IF_ERROR(CheckTarget(path, target, manufacturer));
  RETURN_IF_ERROR(AsStoreError(trust::CheckNotExpired(manufacturer, next.expires, now)));
  RETURN_IF_ERROR(CheckNextVersion(manufacturer, state.current_version, next.version));
  RETURN_IF_ERROR(AsStoreError(trust::CheckTargets(*role, next, state.in_force)));
  for (const auto& [path, target] : next.targets) RETURN_IF_ERROR(CheckNotRevoked(path, state.revoked));
  for (const auto& [path, target] : next.targets) RETURN_IF_ERROR(CheckImage(path, target, state.images));
  review.changed_targets = ChangedTargets(next, state.in_force);
  for (const ProposedTarget& target : review.changed_targets) {
    RETURN_IF_ERROR(CheckReleaseCounter(target, state.release_counters));
  }
  return review;
}

absl::StatusOr<std::vector<std::string>> ReviewPending(const ParsedProposal& pending,
                                                       absl::string_view manufacturer,
                                                       const RepositoryState& state, absl::Time now) {
  const std::string name = trust::PendingRole(manufacturer);
  const trust::Delegation* role = state.delegations->Find(name);
  if (role == nullptr) {
    return Error(absl::StatusCode::kFailedPrecondition, "NOT_DELEGATED",
                 absl::StrCat("The targets metadata in force does not delegate to ", name,
                              "; the operator and the authority publish one that does."));
  }
  ASSIGN_OR_RETURN(std::vector<std::string> signers,
                   Signers(pending.envelope, *role, state.delegations->keys));
  if (signers.size() < static_cast<size_t>(role->keys.threshold)) {
    return Error(absl::StatusCode::kInvalidArgument, trust::kThresholdNotMet,
                 absl::StrCat("The metadata lacks the signature of a key in role ", name, "."));
  }
  const trust::Targets& next = pending.targets;
  if (!next.prefetch.empty()) return Malformed("Only a Director's metadata has custom.prefetch.");
  for (const auto& [path, target] : next.targets) {
    absl::string_view below = path;
    if (!absl::ConsumePrefix(&below, trust::kPendingFolder)) {
      return Error(absl::StatusCode::kInvalidArgument, "PATH_NOT_ALLOWED",
                   absl::StrCat("Target ", path, " must be ", trust::kPendingFolder, manufacturer,
                                "/<component>/<file>."),
                   {{"target_path", path}});
    }
    RETURN_IF_ERROR(CheckTarget(std::string(below), target, manufacturer));
  }
  RETURN_IF_ERROR(AsStoreError(trust::CheckNotExpired(name, next.expires, now)));
  RETURN_IF_ERROR(CheckNextVersion(name, state.current_version, next.version));
  RETURN_IF_ERROR(AsStoreError(trust::CheckTargets(*role, next, state.in_force)));
  for (const auto& [path, target] : next.targets) RETURN_IF_ERROR(CheckImage(path, target, state.images));
  return signers;
}

absl::StatusOr<Approval> MakeApproval(const ParsedProposal& proposal, const ReviewedProposal& review,
                                      const RepositoryState& state,
                                      const std::vector<trust::Signature>& signatures,
                                      const std::vector<std::string>& statements, absl::Time now) {
  const trust::Delegation& role = *review.delegation;
  const trust::KeyMap& keys = state.delegations->keys;
  trust::Envelope envelope = proposal.envelope;
  for (const trust::Signature& signature : signatures) {
    // AddSignature would replace the manufacturer's signature by another one of the same key.
    if (signature.key_id == review.manufacturer_key_id) {
      return Error(absl::StatusCode::kInvalidArgument, trust::kPartiesNotDistinct,
                   absl::StrCat("Key ", signature.key_id,
                                " signed the proposal; the authority signs with its own key, ",
                                review.authority_key_id, "."));
    }
    envelope.AddSignature(signature);
  }
  RETURN_IF_ERROR(Signers(envelope, role, keys).status());
  Approval approval;
  approval.metadata = envelope.Serialise();
  // Once more as a whole, from the bytes that clients will get.
  const absl::StatusOr<trust::VerifiedTargets> verified =
      trust::VerifyDelegatedTargets(*state.delegations, role.name, approval.metadata, state.in_force, now);
  if (!verified.ok()) return AsStoreError(verified.status());

  const trust::KeyMap authority = {{review.authority_key_id, keys.at(review.authority_key_id)}};
  for (const std::string& bytes : statements) {
    ASSIGN_OR_RETURN(std::string path,
                     CheckStatement(bytes, review.changed_targets, proposal.targets.version, authority, now));
    if (!approval.statements.emplace(path, bytes).second) {
      return StatementInvalid(absl::StrCat("There are two statements about ", path, "."));
    }
  }
  for (const ProposedTarget& target : review.changed_targets) {
    if (approval.statements.count(target.target_path) == 0) {
      return StatementInvalid(absl::StrCat("There is no approval statement about ", target.target_path, "."));
    }
  }
  return approval;
}

}  // namespace countersign::package_store
