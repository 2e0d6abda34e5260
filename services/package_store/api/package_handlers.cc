#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/db/page_token.h"
#include "common/feed/watch.h"
#include "common/status/macros.h"
#include "services/package_store/api/convert.h"
#include "services/package_store/api/package_store_api.h"
#include "services/package_store/domain/names.h"

namespace countersign::package_store {
namespace {

constexpr int kPageSize = 100;
constexpr int kMaxPageSize = 1000;
// A page ends early rather than grow beyond what a client takes.
constexpr size_t kMaxPageBytes = 2 << 20;

}  // namespace

absl::Status PackageStoreApi::GetPackage(const rpc::Call& call, const v1::GetPackageRequest& request,
                                         v1::Package* response) {
  ASSIGN_OR_RETURN(const TargetPath path, ParseTargetPath(request.target_path()));
  RETURN_IF_ERROR(CheckOwn(call.identity(), path.manufacturer));
  ASSIGN_OR_RETURN(const Package package,
                   parts_.packages.Get(request.target_path(), request.include_revoked()));
  *response = ToProto(package);
  if (package.log_index) {
    ASSIGN_OR_RETURN(*response->mutable_log_proof(), parts_.log.Prove(*package.log_index));
  }
  return absl::OkStatus();
}

absl::Status PackageStoreApi::ListPackages(const rpc::Call& call, const v1::ListPackagesRequest& request,
                                           v1::ListPackagesResponse* response) {
  ASSIGN_OR_RETURN(std::optional<std::string> manufacturer, ParseManufacturerOrAll(request.parent()));
  if (call.identity().role == rpc::Role::kManufacturer) {
    if (!manufacturer) manufacturer = call.identity().id;
    RETURN_IF_ERROR(CheckOwn(call.identity(), *manufacturer));
  }
  ASSIGN_OR_RETURN(const int page_size, db::PageSize(request.page_size(), kPageSize, kMaxPageSize));
  const std::string scope = absl::StrCat("ListPackages ", manufacturer.value_or("-"),
                                         request.include_revoked() ? " with ended" : "");
  ASSIGN_OR_RETURN(const std::vector<std::string> keys, db::DecodePageToken(scope, request.page_token(), 1));

  ASSIGN_OR_RETURN(const std::vector<Package> packages,
                   parts_.packages.List(manufacturer, keys.empty() ? "" : keys[0], page_size + 1,
                                        request.include_revoked()));
  size_t bytes = 0;
  for (size_t i = 0; i < packages.size(); ++i) {
    if (i == static_cast<size_t>(page_size) || bytes > kMaxPageBytes) {
      response->set_next_page_token(db::EncodePageToken(scope, {packages[i - 1].target.target_path}));
      break;
    }
    *response->add_packages() = ToProto(packages[i]);
    bytes += response->packages(i).ByteSizeLong();
  }
  return absl::OkStatus();
}

absl::Status PackageStoreApi::RevokePackage(const rpc::Call& call, const v1::RevokePackageRequest& request,
                                            v1::Package* response) {
  RETURN_IF_ERROR(ParseTargetPath(request.target_path()).status());
  RETURN_IF_ERROR(CheckReason(request.reason()));
  ASSIGN_OR_RETURN(const Requester requester, RequesterOf(call, request));
  ASSIGN_OR_RETURN(const Package package,
                   parts_.packages.Revoke(request.target_path(), request.reason(),
                                          request.revocation_statement(), requester, parts_.clock.Now()));
  parts_.tail.Nudge();
  *response = ToProto(package);
  return absl::OkStatus();
}

absl::Status PackageStoreApi::ListPackageEvents(const rpc::Call& call,
                                                const v1::ListPackageEventsRequest& request,
                                                v1::ListPackageEventsResponse* response) {
  ASSIGN_OR_RETURN(std::optional<std::string> manufacturer, ParseManufacturerOrAll(request.parent()));
  if (call.identity().role == rpc::Role::kManufacturer) {
    if (!manufacturer) manufacturer = call.identity().id;
    RETURN_IF_ERROR(CheckOwn(call.identity(), *manufacturer));
  }
  if (!request.target_path().empty()) RETURN_IF_ERROR(ParseTargetPath(request.target_path()).status());
  ASSIGN_OR_RETURN(const int page_size, db::PageSize(request.page_size(), kPageSize, kMaxPageSize));
  const std::string scope =
      absl::StrCat("ListPackageEvents ", manufacturer.value_or("-"), " ", request.target_path());
  ASSIGN_OR_RETURN(const std::vector<std::string> keys, db::DecodePageToken(scope, request.page_token(), 1));
  int64_t before = 0;
  if (!keys.empty() && !absl::SimpleAtoi(keys[0], &before))
    return absl::InternalError("page token without a number");

  std::vector<int64_t> numbers;
  ASSIGN_OR_RETURN(
      const std::vector<PackageEvent> events,
      parts_.packages.History(manufacturer, request.target_path(), before, page_size + 1, &numbers));
  size_t bytes = 0;
  for (size_t i = 0; i < events.size(); ++i) {
    if (i == static_cast<size_t>(page_size) || bytes > kMaxPageBytes) {
      response->set_next_page_token(db::EncodePageToken(scope, {absl::StrCat(numbers[i - 1])}));
      break;
    }
    *response->add_events() = ToProto(events[i]);
    bytes += response->events(i).ByteSizeLong();
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<rpc::Producer<v1::WatchPackagesResponse>>> PackageStoreApi::WatchPackages(
    const rpc::Call&, const v1::WatchPackagesRequest& request, rpc::Waker waker) {
  using Packages = feed::Watch<v1::WatchPackagesResponse>;
  return std::make_unique<Packages>(
      parts_.database, parts_.tail, request.resume_token(), std::move(waker),
      [](feed::Event& event, v1::WatchPackagesResponse* response) -> absl::StatusOr<bool> {
        if (event.kind != kPackagePublished && event.kind != kPackageRevoked &&
            event.kind != kPackageWithdrawn) {
          return false;
        }
        if (!response->mutable_package()->ParseFromString(event.payload)) {
          return absl::InternalError(absl::StrCat("the outbox event of ", event.key, " is no package"));
        }
        response->set_resume_token(std::move(event.token));
        return true;
      });
}

}  // namespace countersign::package_store
