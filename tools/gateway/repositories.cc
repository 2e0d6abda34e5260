#include "tools/gateway/repositories.h"

#include <grpcpp/grpcpp.h>

#include <functional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/rpc/channel.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/tlog/entry.h"
#include "common/trust/reasons.h"
#include "countersign/package_store/v1/package_store.grpc.pb.h"
#include "countersign/rollout/v1/rollout.grpc.pb.h"

namespace countersign::gateway {
namespace {

using package_store::v1::PackageStoreService;
using rollout::v1::RolloutService;

constexpr absl::Duration kCallTimeout = absl::Seconds(20);

// The files of a repository, over a call to a service.
class ServiceFetcher : public trust::Fetcher {
 public:
  using Call = std::function<absl::StatusOr<std::string>(const std::string& file_name)>;
  explicit ServiceFetcher(Call call) : call_(std::move(call)) {}

  absl::StatusOr<std::string> Fetch(absl::string_view filename, int64_t max_length) override {
    absl::StatusOr<std::string> content = call_(std::string(filename));
    if (absl::IsNotFound(content.status())) return absl::NotFoundError(content.status().message());
    // Whatever else the server says is no verdict on metadata: without its reason it does not look like one.
    if (!content.ok()) return absl::UnavailableError(content.status().message());
    if (static_cast<int64_t>(content->size()) > max_length) {
      return trust::Refuse(trust::kLengthExceeded,
                           absl::StrCat(filename, " has more than ", max_length, " bytes"));
    }
    return content;
  }

 private:
  const Call call_;
};

}  // namespace

std::unique_ptr<trust::Fetcher> DirectorFetcher(std::shared_ptr<grpc::Channel> rollout) {
  return std::make_unique<ServiceFetcher>(
      [rollout = std::move(rollout)](const std::string& name) -> absl::StatusOr<std::string> {
        rpc::CallContext context(kCallTimeout);
        rollout::v1::GetDirectorMetadataRequest request;
        request.set_file_name(name);
        rollout::v1::GetDirectorMetadataResponse response;
        RETURN_IF_ERROR(rpc::FromGrpc(
            RolloutService::NewStub(rollout)->GetDirectorMetadata(context.get(), request, &response)));
        return std::move(*response.mutable_content());
      });
}

std::unique_ptr<trust::Fetcher> ImageRepositoryFetcher(std::shared_ptr<grpc::Channel> package_store) {
  return std::make_unique<ServiceFetcher>(
      [package_store = std::move(package_store)](const std::string& name) -> absl::StatusOr<std::string> {
        rpc::CallContext context(kCallTimeout);
        package_store::v1::GetMetadataRequest request;
        request.set_file_name(name);
        package_store::v1::MetadataFile response;
        RETURN_IF_ERROR(rpc::FromGrpc(
            PackageStoreService::NewStub(package_store)->GetMetadata(context.get(), request, &response)));
        return std::move(*response.mutable_content());
      });
}

absl::StatusOr<Vouchers> FetchVouchers(const std::shared_ptr<grpc::Channel>& package_store,
                                       const std::string& target_path) {
  rpc::CallContext context(kCallTimeout);
  package_store::v1::GetPackageRequest request;
  request.set_target_path(target_path);
  package_store::v1::Package package;
  const absl::Status status = rpc::FromGrpc(
      PackageStoreService::NewStub(package_store)->GetPackage(context.get(), request, &package));
  if (absl::IsNotFound(status)) return absl::NotFoundError(status.message());
  if (!status.ok()) return absl::UnavailableError(status.message());
  return Vouchers{std::move(*package.mutable_approval_statement()), std::move(*package.mutable_log_proof())};
}

absl::Status CheckInLog(absl::string_view log_key, absl::string_view log_proof, absl::string_view target_path,
                        absl::string_view sha256) {
  const absl::Status status = tlog::VerifyApprovalProof(log_proof, log_key, target_path, sha256).status();
  if (status.ok()) return status;
  return Error(absl::StatusCode::kFailedPrecondition, kNotInLog,
               absl::StrCat("it is not proven that the approval of ", target_path,
                            " is in the transparency log: ", status.message()));
}

}  // namespace countersign::gateway
