// The two repositories and what else vouches for an image, as the services hand them out. Nothing of it is
// trusted.
#ifndef COUNTERSIGN_TOOLS_GATEWAY_REPOSITORIES_H_
#define COUNTERSIGN_TOOLS_GATEWAY_REPOSITORIES_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/trust/client.h"

namespace grpc {
class Channel;
}

namespace countersign::gateway {

// The Director's files, from the service rollout, and the image repository's, from the package store. Errors
// but NOT_FOUND and LENGTH_EXCEEDED carry no reason: whatever a server says, it is no verdict on metadata.
std::unique_ptr<trust::Fetcher> DirectorFetcher(std::shared_ptr<grpc::Channel> rollout);
std::unique_ptr<trust::Fetcher> ImageRepositoryFetcher(std::shared_ptr<grpc::Channel> package_store);

// What vouches for an image beside the metadata.
struct Vouchers {
  std::string approval_statement;  // the authority's, a DSSE envelope; for the device to check
  std::string log_proof;           // that the approval is in the transparency log (tlog-proof@v1)
};

// NOT_FOUND if there is no such package; an error without a reason if it cannot be told.
absl::StatusOr<Vouchers> FetchVouchers(const std::shared_ptr<grpc::Channel>& package_store,
                                       const std::string& target_path);

// OK if `log_proof` proves that the approval of exactly this image is in the log of `log_key`, which the
// image repository's root names (PLUS-3). FAILED_PRECONDITION (NOT_IN_LOG).
inline constexpr char kNotInLog[] = "NOT_IN_LOG";
absl::Status CheckInLog(absl::string_view log_key, absl::string_view log_proof, absl::string_view target_path,
                        absl::string_view sha256);

}  // namespace countersign::gateway

#endif  // COUNTERSIGN_TOOLS_GATEWAY_REPOSITORIES_H_
