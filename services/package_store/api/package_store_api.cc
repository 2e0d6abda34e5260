#include "services/package_store/api/package_store_api.h"

#include "absl/strings/str_cat.h"
#include "common/status/errors.h"
#include "services/package_store/api/roles.h"

namespace countersign::package_store {

namespace {

metrics::CounterFamily SentBytes(metrics::Registry& registry) {
  return registry.AddCounter("countersign_package_store_sent_bytes_total",
                             "Bytes of images and deltas that this replica sent.", {"kind"});
}

}  // namespace

PackageStoreApi::PackageStoreApi(const Parts& parts)
    : parts_(parts),
      files_(parts.publications, parts.executor, parts.clock),
      sent_images_(SentBytes(parts.registry).With({"image"})),
      sent_deltas_(SentBytes(parts.registry).With({"delta"})),
      saved_bytes_(parts.registry
                       .AddCounter("countersign_package_store_delta_saved_bytes_total",
                                   "Bytes that images have more than the deltas that were sent for them.")
                       .With()) {}

std::unique_ptr<rpc::Service> PackageStoreApi::Bind() {
  auto service = std::make_unique<rpc::Service>(PackageStoreRoles());
  service->Unary("PublishRoot", this, &PackageStoreApi::PublishRoot);
  service->Unary("PublishTargets", this, &PackageStoreApi::PublishTargets);
  service->Unary("PublishPending", this, &PackageStoreApi::PublishPending);
  service->AsyncUnary("GetMetadata", this, &PackageStoreApi::GetMetadata, {.run_inline = true});
  service->Unary("CreateUpload", this, &PackageStoreApi::CreateUpload);
  service->Unary("GetUpload", this, &PackageStoreApi::GetUpload);
  service->ClientStream("WriteUpload", this, &PackageStoreApi::WriteUpload);
  service->ServerStream("DownloadImage", this, &PackageStoreApi::DownloadImage);
  service->Unary("GetDelta", this, &PackageStoreApi::GetDelta);
  service->ServerStream("DownloadDelta", this, &PackageStoreApi::DownloadDelta);
  service->Unary("CreateDownloadUrl", this, &PackageStoreApi::CreateDownloadUrl);
  service->Unary("CreateProposal", this, &PackageStoreApi::CreateProposal);
  service->Unary("GetProposal", this, &PackageStoreApi::GetProposal);
  service->Unary("ListProposals", this, &PackageStoreApi::ListProposals);
  service->Unary("ApproveProposal", this, &PackageStoreApi::ApproveProposal);
  service->Unary("RefuseProposal", this, &PackageStoreApi::RefuseProposal);
  service->Unary("GetPackage", this, &PackageStoreApi::GetPackage);
  service->Unary("ListPackages", this, &PackageStoreApi::ListPackages);
  service->Unary("RevokePackage", this, &PackageStoreApi::RevokePackage);
  service->Unary("ListPackageEvents", this, &PackageStoreApi::ListPackageEvents);
  service->ServerStream("WatchPackages", this, &PackageStoreApi::WatchPackages);
  service->Unary("GetLogFile", this, &PackageStoreApi::GetLogFile);
  return service;
}

absl::Status CheckOwn(const rpc::Identity& caller, absl::string_view manufacturer) {
  if (caller.role != rpc::Role::kManufacturer || caller.id == manufacturer) return absl::OkStatus();
  return Error(absl::StatusCode::kPermissionDenied, "NOT_YOUR_MANUFACTURER",
               absl::StrCat("Manufacturer ", caller.id, " has no right to what is ", manufacturer, "'s."));
}

absl::Status CheckReason(absl::string_view reason) {
  constexpr size_t kMaxLength = 2000;
  if (!reason.empty() && reason.size() <= kMaxLength && reason.find('\0') == reason.npos) {
    return absl::OkStatus();
  }
  return Error(absl::StatusCode::kInvalidArgument, "REASON_INVALID",
               "A decision tells the manufacturer why, in 1 to 2,000 characters.");
}

}  // namespace countersign::package_store
