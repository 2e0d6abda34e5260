#ifndef COUNTERSIGN_SERVICES_PACKAGE_STORE_API_CONVERT_H_
#define COUNTERSIGN_SERVICES_PACKAGE_STORE_API_CONVERT_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/trust/envelope.h"
#include "countersign/package_store/v1/package_store.pb.h"
#include "services/package_store/domain/values.h"

// Domain to proto and back.
namespace countersign::package_store {

google::protobuf::Timestamp ToProto(absl::Time time);
v1::MetadataFile ToProto(const MetadataFile& file);
v1::Upload ToProto(const Upload& upload);
v1::Proposal ToProto(const Proposal& proposal);
v1::Package ToProto(const Package& package);
v1::Delta ToProto(const Delta& delta);
v1::PackageEvent ToProto(const PackageEvent& event);

// The state to filter by; nullopt for UNSPECIFIED. INVALID_ARGUMENT (STATE_INVALID).
absl::StatusOr<std::optional<ProposalState>> FromProto(v1::Proposal::State state);

// INVALID_ARGUMENT (SIGNATURE_INVALID) for what is no key id or no hexadecimal, or beyond 16 signatures.
absl::StatusOr<std::vector<trust::Signature>> SignaturesFromProto(const v1::ApproveProposalRequest& request);

// What the outbox keeps of a package that changed.
std::string EncodePackageEvent(const Package& package);

}  // namespace countersign::package_store

#endif  // COUNTERSIGN_SERVICES_PACKAGE_STORE_API_CONVERT_H_
