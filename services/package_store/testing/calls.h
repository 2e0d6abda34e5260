#ifndef COUNTERSIGN_SERVICES_PACKAGE_STORE_TESTING_CALLS_H_
#define COUNTERSIGN_SERVICES_PACKAGE_STORE_TESTING_CALLS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "countersign/package_store/v1/package_store.grpc.pb.h"

// The calls of those who publish, one function each: the error is the call's, and after 30 s its deadline's.
namespace countersign::package_store::testing {

namespace v1 = ::countersign::package_store::v1;
using Stub = v1::PackageStoreService::Stub;

absl::Status PublishRoot(Stub& stub, const std::string& metadata);
absl::Status PublishTargets(Stub& stub, const std::string& metadata);
absl::Status PublishPending(Stub& stub, absl::string_view manufacturer, const std::string& metadata);

absl::StatusOr<v1::Upload> CreateUpload(Stub& stub, absl::string_view manufacturer,
                                        const std::string& content);
// Sends what is missing of `upload`, whose content is `content`.
absl::StatusOr<v1::Upload> SendUpload(Stub& stub, const v1::Upload& upload, const std::string& content);
// Both.
absl::StatusOr<v1::Upload> Upload(Stub& stub, absl::string_view manufacturer, const std::string& content);

// `request_id`: "" for a new one.
absl::StatusOr<v1::Proposal> Propose(Stub& stub, absl::string_view manufacturer, const std::string& metadata,
                                     const std::string& request_id = "");
absl::StatusOr<v1::Proposal> Approve(Stub& stub, const v1::ApproveProposalRequest& request);

}  // namespace countersign::package_store::testing

#endif  // COUNTERSIGN_SERVICES_PACKAGE_STORE_TESTING_CALLS_H_
