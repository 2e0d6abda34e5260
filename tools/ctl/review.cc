#include "tools/ctl/review.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/crypto/digest.h"
#include "common/crypto/hex.h"
#include "common/crypto/random.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/trust/dsse.h"
#include "common/trust/keys.h"
#include "common/trust/reasons.h"
#include "common/trust/verify.h"

namespace countersign::ctl {
namespace {

namespace v1 = countersign::package_store::v1;

constexpr int64_t kMaxRoleBytes = 5 << 20;

absl::Status Inconsistent(absl::string_view what) {
  return Error(absl::StatusCode::kDataLoss, "PROPOSAL_INCONSISTENT",
               absl::StrCat("what the store says of ", what, " is not what the manufacturer signed"));
}

// Whose signature it has, and whose is missing.
absl::Status ReviewSigners(const trust::Targets& top, const trust::Delegation& role, Review& review) {
  const trust::KeyMap& keys = top.delegations->keys;
  for (const trust::Signature& signature : review.envelope.signatures()) {
    const auto key = keys.find(signature.key_id);
    if (key == keys.end() ||
        std::count(role.keys.key_ids.begin(), role.keys.key_ids.end(), signature.key_id) == 0) {
      return Error(absl::StatusCode::kInvalidArgument, trust::kUnknownKey,
                   absl::StrCat("the proposal has a signature of key ", signature.key_id,
                                ", which is not in role ", role.name));
    }
    RETURN_IF_ERROR(review.envelope.VerifyBy(signature.key_id, key->second));
    if (!review.manufacturer_key_id.empty()) {
      return Error(absl::StatusCode::kFailedPrecondition, trust::kPartiesNotDistinct,
                   "the proposal has two signatures: there is nothing left to approve");
    }
    review.manufacturer_key_id = signature.key_id;
  }
  if (review.manufacturer_key_id.empty()) {
    return Error(absl::StatusCode::kInvalidArgument, trust::kThresholdNotMet,
                 absl::StrCat("the proposal lacks the signature of ", role.name));
  }
  for (const std::string& id : role.keys.key_ids) {
    if (id != review.manufacturer_key_id) review.authority_key_id = id;
  }
  // Where the targets say whose keys are whose, the signature must be the manufacturer's.
  const std::string party = trust::PartyOf(top.parties, review.manufacturer_key_id);
  if (!party.empty() && party != role.name) {
    return Error(absl::StatusCode::kInvalidArgument, trust::kPartiesNotDistinct,
                 absl::StrCat("the proposal is signed by a key of ", party, ", not of ", role.name));
  }
  return absl::OkStatus();
}

// What is in force of the role; nullopt if nothing is that the delegation vouches for.
absl::StatusOr<std::optional<trust::Targets>> InForce(const trust::Delegations& delegations,
                                                      const std::string& role, int64_t version,
                                                      trust::Fetcher& source, absl::Time now) {
  if (version == 0) return std::nullopt;
  ASSIGN_OR_RETURN(const std::string bytes,
                   source.Fetch(trust::MetadataFilename(role, version), kMaxRoleBytes));
  absl::StatusOr<trust::VerifiedTargets> verified =
      trust::VerifyDelegatedTargets(delegations, role, bytes, nullptr, now);
  // Keys that were changed, or a version that expired: everything counts as new.
  if (!verified.ok()) return std::nullopt;
  return std::move(verified->targets);
}

absl::Status CheckAccount(const Review& review) {
  std::map<std::string, const v1::ProposedTarget*> told;
  for (const v1::ProposedTarget& target : review.proposal.changed_targets()) {
    told[target.target_path()] = &target;
  }
  for (const ReviewedTarget& changed : review.changed) {
    const auto found = told.find(changed.path);
    if (found == told.end()) return Inconsistent(changed.path);
    const v1::ProposedTarget& target = *found->second;
    const std::vector<std::string> hardware(target.hardware_ids().begin(), target.hardware_ids().end());
    if (target.sha256() != changed.target.sha256 || target.length_bytes() != changed.target.length ||
        target.version() != changed.target.custom.version || hardware != changed.target.custom.hardware_ids ||
        target.release_counter() != changed.target.custom.release_counter.value_or(0)) {
      return Inconsistent(changed.path);
    }
    told.erase(found);
  }
  if (!told.empty()) return Inconsistent(told.begin()->first);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Review> ReviewProposal(const v1::Proposal& proposal, trust::Fetcher& source,
                                      const std::string& root, absl::Time now) {
  // manufacturers/{manufacturer}/proposals/{proposal}
  const std::vector<std::string> parts = absl::StrSplit(proposal.name(), '/');
  if (parts.size() != 4) return Inconsistent("the proposal's name");
  const std::string& manufacturer = parts[1];

  trust::MemoryStore trusted;
  trust::RepositoryClient client(&source, &trusted, root);
  RETURN_IF_ERROR(client.Refresh(now));
  const trust::Targets& top = client.targets();
  const trust::Delegation* role = top.delegations ? top.delegations->Find(manufacturer) : nullptr;
  if (role == nullptr) {
    return Error(absl::StatusCode::kFailedPrecondition, "NOT_DELEGATED",
                 absl::StrCat("the targets metadata in force does not delegate to ", manufacturer));
  }

  ASSIGN_OR_RETURN(trust::Envelope envelope, trust::Envelope::Parse(proposal.metadata()));
  ASSIGN_OR_RETURN(trust::Targets targets, trust::Targets::Parse(envelope));
  const std::string digest = crypto::Sha256Hex(envelope.canonical());
  Review review{proposal, manufacturer, std::move(envelope), std::move(targets), digest, "", "", 0, {}, {}};
  RETURN_IF_ERROR(ReviewSigners(top, *role, review));
  RETURN_IF_ERROR(trust::CheckNotExpired(manufacturer, review.targets.expires, now));

  const auto in_snapshot = client.snapshot().roles.find(manufacturer);
  if (in_snapshot != client.snapshot().roles.end()) review.version_in_force = in_snapshot->second.version;
  if (review.targets.version != review.version_in_force + 1 ||
      review.targets.version != proposal.role_version()) {
    return Error(absl::StatusCode::kFailedPrecondition, "VERSION_NOT_NEXT",
                 absl::StrCat("role ", manufacturer, " is at version ", review.version_in_force,
                              ", the proposal is of version ", review.targets.version));
  }
  ASSIGN_OR_RETURN(const std::optional<trust::Targets> in_force,
                   InForce(*top.delegations, manufacturer, review.version_in_force, source, now));
  RETURN_IF_ERROR(trust::CheckTargets(*role, review.targets, in_force ? &*in_force : nullptr));
  for (const auto& [path, target] : review.targets.targets) {
    std::optional<trust::TargetFile> before;
    if (in_force) {
      const auto found = in_force->targets.find(path);
      if (found != in_force->targets.end()) before = found->second;
    }
    if (before != target) review.changed.push_back({path, target, before});
  }
  if (in_force) {
    for (const auto& [path, target] : in_force->targets) {
      if (!review.targets.targets.contains(path)) review.removed.push_back(path);
    }
  }
  RETURN_IF_ERROR(CheckAccount(review));
  return review;
}

absl::StatusOr<v1::ApproveProposalRequest> SignApproval(const Review& review, int valid_days,
                                                        const crypto::Signer& signer, absl::Time now) {
  const std::string key_id = trust::KeyId(signer.public_key());
  if (key_id != review.authority_key_id) {
    return Error(absl::StatusCode::kFailedPrecondition, "WRONG_KEY",
                 absl::StrCat("the key given is ", key_id, "; role ", review.manufacturer, " wants ",
                              review.authority_key_id));
  }
  v1::ApproveProposalRequest request;
  request.set_name(review.proposal.name());
  request.set_request_id(crypto::Uuid());
  for (const ReviewedTarget& changed : review.changed) {
    trust::ApprovalStatement statement;
    statement.sha256 = changed.target.sha256;
    statement.target_path = changed.path;
    statement.role_version = review.targets.version;
    statement.hardware_ids = changed.target.custom.hardware_ids;
    statement.release_counter = changed.target.custom.release_counter.value_or(0);
    statement.valid_from = absl::FromUnixSeconds(absl::ToUnixSeconds(now));
    statement.valid_until = statement.valid_from + absl::Hours(24) * valid_days;
    trust::DsseEnvelope envelope = statement.ToEnvelope();
    RETURN_IF_ERROR(envelope.Sign(signer));
    request.add_approval_statements(envelope.Serialise());
  }
  ASSIGN_OR_RETURN(const std::string signature, signer.Sign(review.envelope.canonical()));
  v1::MetadataSignature& mine = *request.add_signatures();
  mine.set_key_id(key_id);
  mine.set_signature(crypto::HexEncode(signature));
  return request;
}

}  // namespace countersign::ctl
