#include "services/package_store/api/convert.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/crypto/hex.h"
#include "common/status/errors.h"
#include "google/protobuf/util/time_util.h"
#include "services/package_store/domain/names.h"

namespace countersign::package_store {
namespace {

constexpr int kMaxSignatures = 16;

v1::Proposal::State ToProto(ProposalState state) {
  switch (state) {
    case ProposalState::kAwaitingApproval:
      return v1::Proposal::STATE_AWAITING_APPROVAL;
    case ProposalState::kApproved:
      return v1::Proposal::STATE_APPROVED;
    case ProposalState::kRefused:
      return v1::Proposal::STATE_REFUSED;
    case ProposalState::kSuperseded:
      return v1::Proposal::STATE_SUPERSEDED;
  }
  return v1::Proposal::STATE_UNSPECIFIED;
}

v1::Package::State ToProto(PackageState state) {
  switch (state) {
    case PackageState::kApproved:
      return v1::Package::STATE_APPROVED;
    case PackageState::kRevoked:
      return v1::Package::STATE_REVOKED;
    case PackageState::kWithdrawn:
      return v1::Package::STATE_WITHDRAWN;
  }
  return v1::Package::STATE_UNSPECIFIED;
}

v1::PackageEvent::Kind ToProto(PackageEventKind kind) {
  switch (kind) {
    case PackageEventKind::kProposed:
      return v1::PackageEvent::KIND_PROPOSED;
    case PackageEventKind::kApproved:
      return v1::PackageEvent::KIND_APPROVED;
    case PackageEventKind::kRefused:
      return v1::PackageEvent::KIND_REFUSED;
    case PackageEventKind::kSuperseded:
      return v1::PackageEvent::KIND_SUPERSEDED;
    case PackageEventKind::kRevoked:
      return v1::PackageEvent::KIND_REVOKED;
    case PackageEventKind::kWithdrawn:
      return v1::PackageEvent::KIND_WITHDRAWN;
  }
  return v1::PackageEvent::KIND_UNSPECIFIED;
}

}  // namespace

google::protobuf::Timestamp ToProto(absl::Time time) {
  return google::protobuf::util::TimeUtil::MicrosecondsToTimestamp(absl::ToUnixMicros(time));
}

v1::MetadataFile ToProto(const MetadataFile& file) {
  v1::MetadataFile proto;
  proto.set_file_name(file.file_name);
  proto.set_content(file.content);
  return proto;
}

v1::Upload ToProto(const Upload& upload) {
  v1::Upload proto;
  proto.set_name(FormatUploadName(upload.manufacturer, upload.sha256));
  proto.set_length_bytes(upload.length_bytes);
  proto.set_sha256(upload.sha256);
  proto.set_committed_bytes(upload.committed_bytes);
  proto.set_state(upload.complete ? v1::Upload::STATE_COMPLETE : v1::Upload::STATE_ACTIVE);
  return proto;
}

v1::Proposal ToProto(const Proposal& proposal) {
  v1::Proposal proto;
  proto.set_name(FormatProposalName(proposal.manufacturer, proposal.id));
  proto.set_state(ToProto(proposal.state));
  proto.set_role_version(proposal.role_version);
  proto.set_metadata(proposal.metadata);
  for (const ProposedTarget& target : proposal.changed_targets) {
    v1::ProposedTarget& added = *proto.add_changed_targets();
    added.set_target_path(target.target_path);
    added.set_length_bytes(target.length_bytes);
    added.set_sha256(target.sha256);
    for (const std::string& id : target.hardware_ids) added.add_hardware_ids(id);
    added.set_version(target.version);
    added.set_release_counter(target.release_counter);
  }
  proto.set_proposed_by(proposal.proposed_by);
  *proto.mutable_create_time() = ToProto(proposal.created_at);
  proto.set_decided_by(proposal.decided_by);
  if (proposal.decided_at) *proto.mutable_decide_time() = ToProto(*proposal.decided_at);
  proto.set_refusal_reason(proposal.refusal_reason);
  return proto;
}

v1::Package ToProto(const Package& package) {
  v1::Package proto;
  proto.set_target_path(package.target.target_path);
  proto.set_manufacturer(package.manufacturer);
  proto.set_length_bytes(package.target.length_bytes);
  proto.set_sha256(package.target.sha256);
  for (const std::string& id : package.target.hardware_ids) proto.add_hardware_ids(id);
  proto.set_version(package.target.version);
  proto.set_release_counter(package.target.release_counter);
  proto.set_role_version(package.role_version);
  for (const std::string& id : package.manufacturer_key_ids) proto.add_manufacturer_key_ids(id);
  for (const std::string& id : package.authority_key_ids) proto.add_authority_key_ids(id);
  proto.set_approved_by(package.approved_by);
  *proto.mutable_approve_time() = ToProto(package.approved_at);
  proto.set_approval_statement(package.approval_statement);
  proto.set_state(ToProto(package.state));
  proto.set_ended_by(package.ended_by);
  if (package.ended_at) *proto.mutable_end_time() = ToProto(*package.ended_at);
  proto.set_end_reason(package.end_reason);
  proto.set_revocation_statement(package.revocation_statement);
  return proto;
}

v1::PackageEvent ToProto(const PackageEvent& event) {
  v1::PackageEvent proto;
  proto.set_kind(ToProto(event.kind));
  *proto.mutable_time() = ToProto(event.time);
  proto.set_manufacturer(event.manufacturer);
  proto.set_target_path(event.target_path);
  proto.set_sha256(event.sha256);
  proto.set_role_version(event.role_version);
  if (!event.proposal.empty()) proto.set_proposal(FormatProposalName(event.manufacturer, event.proposal));
  proto.set_identity(event.identity);
  for (const std::string& id : event.key_ids) proto.add_key_ids(id);
  proto.set_reason(event.reason);
  if (event.log_index) proto.set_log_index(*event.log_index);
  return proto;
}

v1::Delta ToProto(const Delta& delta) {
  v1::Delta proto;
  proto.set_base_sha256(delta.base_sha256);
  proto.set_sha256(delta.sha256);
  switch (delta.state) {
    case DeltaState::kPending:
      proto.set_state(v1::Delta::STATE_PENDING);
      *proto.mutable_retry_delay() = google::protobuf::util::TimeUtil::MillisecondsToDuration(
          absl::ToInt64Milliseconds(delta.retry_delay));
      break;
    case DeltaState::kReady:
      proto.set_state(v1::Delta::STATE_READY);
      proto.set_length_bytes(delta.length_bytes);
      proto.set_delta_sha256(delta.delta_sha256);
      break;
    case DeltaState::kNotWorthwhile:
      proto.set_state(v1::Delta::STATE_NOT_WORTHWHILE);
      break;
  }
  return proto;
}

absl::StatusOr<std::optional<ProposalState>> FromProto(v1::Proposal::State state) {
  switch (state) {
    case v1::Proposal::STATE_UNSPECIFIED:
      return std::nullopt;
    case v1::Proposal::STATE_AWAITING_APPROVAL:
      return ProposalState::kAwaitingApproval;
    case v1::Proposal::STATE_APPROVED:
      return ProposalState::kApproved;
    case v1::Proposal::STATE_REFUSED:
      return ProposalState::kRefused;
    case v1::Proposal::STATE_SUPERSEDED:
      return ProposalState::kSuperseded;
    default:
      return Error(absl::StatusCode::kInvalidArgument, "STATE_INVALID",
                   absl::StrCat("No proposal state has the number ", static_cast<int>(state), "."));
  }
}

absl::StatusOr<std::vector<trust::Signature>> SignaturesFromProto(const v1::ApproveProposalRequest& request) {
  if (request.signatures_size() > kMaxSignatures) {
    return Error(absl::StatusCode::kInvalidArgument, "SIGNATURE_INVALID",
                 absl::StrCat("At most ", kMaxSignatures, " signatures can be given."));
  }
  std::vector<trust::Signature> signatures;
  for (const v1::MetadataSignature& signature : request.signatures()) {
    absl::StatusOr<std::string> bytes = crypto::HexDecode(signature.signature());
    if (!crypto::IsSha256Hex(signature.key_id()) || !bytes.ok() || bytes->empty()) {
      return Error(absl::StatusCode::kInvalidArgument, "SIGNATURE_INVALID",
                   "A signature has a key_id of 64 lower-case hexadecimal digits and is itself hexadecimal.");
    }
    signatures.push_back({signature.key_id(), *std::move(bytes)});
  }
  return signatures;
}

std::string EncodePackageEvent(const Package& package) { return ToProto(package).SerializeAsString(); }

}  // namespace countersign::package_store
