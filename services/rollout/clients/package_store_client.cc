#include "services/rollout/clients/package_store_client.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/feed/pump.h"
#include "common/rpc/status_grpc.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/trust/reasons.h"
#include "countersign/package_store/v1/package_store.grpc.pb.h"

namespace countersign::rollout {
namespace {

using package_store::v1::PackageStoreService;

constexpr absl::Duration kFetchTimeout = absl::Seconds(10);
constexpr int kMaxMessage = 8 << 20;  // the largest metadata file that a client reads, and its frame

absl::Status Unavailable(absl::string_view target_path, const absl::Status& status) {
  return Error(absl::StatusCode::kUnavailable, "PACKAGE_STORE_UNAVAILABLE",
               absl::StrCat("The package store could not be asked about ", target_path,
                            "; try again. It answered: ", status.message()));
}

PackageNews FromProto(const package_store::v1::Package& package) {
  using package_store::v1::Package;
  PackageNews news;
  news.target_path = package.target_path();
  news.ended = package.state() == Package::STATE_REVOKED || package.state() == Package::STATE_WITHDRAWN;
  if (news.ended) {
    news.why =
        absl::StrCat("The package was ", package.state() == Package::STATE_REVOKED ? "revoked" : "withdrawn",
                     " by ", package.ended_by(), ": ", package.end_reason());
  }
  return news;
}

}  // namespace

struct PackageStoreClient::State {
  std::unique_ptr<PackageStoreService::Stub> stub;
};

PackageStoreClient::PackageStoreClient(const rpc::Dialer& dialer, absl::string_view address)
    : state_(new State{PackageStoreService::NewStub(dialer.Dial(
          address, {rpc::Role::kService, "package-store"}, {.max_message_bytes = kMaxMessage}))}) {}

PackageStoreClient::~PackageStoreClient() = default;

absl::StatusOr<Package> PackageStoreClient::GetApproved(const Release& release, absl::Time deadline) {
  package_store::v1::GetPackageRequest request;
  request.set_target_path(release.image.target_path);
  package_store::v1::Package response;
  rpc::CallContext context(deadline);
  const absl::Status status = rpc::FromGrpc(state_->stub->GetPackage(context.get(), request, &response));
  if (ReasonOf(status) == "PACKAGE_REVOKED" || ReasonOf(status) == "PACKAGE_WITHDRAWN") {
    return NotApproved(release, status.message());
  }
  if (absl::IsNotFound(status) || absl::IsInvalidArgument(status)) {
    return NotApproved(release, "nobody has published its image with both signatures");
  }
  if (!status.ok()) return Unavailable(release.image.target_path, status);
  Package package;
  package.manufacturer = response.manufacturer();
  package.image = {response.target_path(), response.length_bytes(), response.sha256()};
  package.hardware_ids.assign(response.hardware_ids().begin(), response.hardware_ids().end());
  package.release_counter = response.release_counter();
  package.manufacturer_key_ids.assign(response.manufacturer_key_ids().begin(),
                                      response.manufacturer_key_ids().end());
  package.approved_by = response.approved_by();
  RETURN_IF_ERROR(CheckApproved(release, package));
  return package;
}

absl::StatusOr<LoggedPackage> PackageStoreClient::GetLogged(const std::string& target_path) {
  package_store::v1::GetPackageRequest request;
  request.set_target_path(target_path);
  package_store::v1::Package response;
  rpc::CallContext context(kFetchTimeout);
  RETURN_IF_ERROR(rpc::FromGrpc(state_->stub->GetPackage(context.get(), request, &response)));
  return LoggedPackage{response.role_version(), std::move(*response.mutable_log_proof())};
}

absl::Status PackageStoreClient::Watch(const std::string& token, const feed::Follower::Sink& sink,
                                       std::stop_token stop) {
  package_store::v1::WatchPackagesRequest request;
  request.set_resume_token(token);
  rpc::CallContext context(absl::InfiniteFuture());
  const auto reader = state_->stub->WatchPackages(context.get(), request);
  return feed::PumpWatch<package_store::v1::WatchPackagesResponse>(
      *context.get(), *reader,
      [](const package_store::v1::WatchPackagesResponse& response) {
        const package_store::v1::Package& package = response.package();
        const auto& time = package.has_end_time() ? package.end_time() : package.approve_time();
        feed::Event event;
        event.token = response.resume_token();
        event.kind = "package";
        event.key = package.target_path();
        event.payload = package.SerializeAsString();
        event.created_at = absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
        return event;
      },
      sink, stop);
}

absl::StatusOr<PackageNews> PackageStoreClient::NewsOf(const feed::Event& event) {
  package_store::v1::Package package;
  if (!package.ParseFromString(event.payload)) return absl::InternalError("not a package");
  return FromProto(package);
}

absl::Status PackageStoreClient::ListAll(
    const std::function<absl::Status(const std::vector<PackageNews>&)>& take, std::stop_token stop) {
  package_store::v1::ListPackagesRequest request;
  request.set_parent("manufacturers/-");
  request.set_include_revoked(true);
  do {
    if (stop.stop_requested()) return absl::CancelledError("stopped");
    package_store::v1::ListPackagesResponse page;
    rpc::CallContext context(kFetchTimeout);
    RETURN_IF_ERROR(rpc::FromGrpc(state_->stub->ListPackages(context.get(), request, &page)));
    std::vector<PackageNews> news;
    for (const package_store::v1::Package& package : page.packages()) news.push_back(FromProto(package));
    RETURN_IF_ERROR(take(news));
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return absl::OkStatus();
}

absl::StatusOr<std::string> PackageStoreClient::Fetch(absl::string_view filename, int64_t max_length) {
  package_store::v1::GetMetadataRequest request;
  request.set_file_name(std::string(filename));
  package_store::v1::MetadataFile response;
  rpc::CallContext context(kFetchTimeout);
  RETURN_IF_ERROR(rpc::FromGrpc(state_->stub->GetMetadata(context.get(), request, &response)));
  if (static_cast<int64_t>(response.content().size()) > max_length) {
    return Error(absl::StatusCode::kResourceExhausted, trust::kLengthExceeded,
                 absl::StrCat(filename, " has more than ", max_length, " bytes."));
  }
  return std::move(*response.mutable_content());
}

}  // namespace countersign::rollout
