#include "services/package_store/api/roles.h"

namespace countersign::package_store {

const rpc::RoleTable& PackageStoreRoles() {
  using enum rpc::Role;
  static const auto& table = *new rpc::RoleTable(
      "countersign.package_store.v1.PackageStoreService",
      {
          {"PublishRoot", {kOperator, kAuthority}},
          {"PublishTargets", {kOperator, kAuthority}},
          {"PublishPending", {kManufacturer}},
          {"GetMetadata", {kOperator, kAuthority, kManufacturer, kGateway, kCse, kRegistrar, kService}},
          {"CreateUpload", {kManufacturer}, {"liaison"}},
          {"GetUpload", {kManufacturer}, {"liaison"}},
          {"WriteUpload", {kManufacturer}, {"liaison"}},
          {"DownloadImage", {kGateway, kManufacturer, kOperator, kAuthority, kService}},
          {"GetDelta", {kGateway, kManufacturer, kOperator, kAuthority, kService}},
          {"DownloadDelta", {kGateway, kManufacturer, kOperator, kAuthority, kService}},
          {"CreateDownloadUrl", {kGateway, kManufacturer, kOperator, kAuthority, kService}},
          {"CreateProposal", {kManufacturer}, {"liaison"}},
          {"GetProposal", {kOperator, kAuthority, kManufacturer, kService}},
          {"ListProposals", {kOperator, kAuthority, kManufacturer}},
          {"ApproveProposal", {kAuthority}},
          {"RefuseProposal", {kAuthority}},
          {"GetPackage", {kOperator, kAuthority, kManufacturer, kGateway, kService}},
          {"ListPackages", {kOperator, kAuthority, kManufacturer, kService}},
          {"RevokePackage", {kAuthority}},
          {"ListPackageEvents", {kOperator, kAuthority, kManufacturer}},
          {"WatchPackages", {kService}},
          {"GetLogFile", {kOperator, kAuthority, kManufacturer, kGateway, kCse, kRegistrar, kService}},
      });
  return table;
}

}  // namespace countersign::package_store
