#ifndef COUNTERSIGN_SERVICES_LIAISON_API_LIAISON_API_H_
#define COUNTERSIGN_SERVICES_LIAISON_API_LIAISON_API_H_

#include <memory>

#include "absl/status/status.h"
#include "common/clock/clock.h"
#include "common/rpc/handler.h"
#include "countersign/liaison/v1/liaison.pb.h"
#include "services/liaison/clients/package_store_client.h"
#include "services/liaison/storage/liaison_store.h"

namespace countersign::liaison {

// countersign.liaison.v1.LiaisonService. What it is given must outlive it, and it must outlive the server
// that it is bound to.
class LiaisonApi {
 public:
  struct Parts {
    LiaisonStore& store;
    PackageStoreClient& package_store;
    const Clock& clock;
  };

  explicit LiaisonApi(const Parts& parts) : parts_(parts) {}

  std::unique_ptr<rpc::Service> Bind();

 private:
  absl::Status CreateManufacturer(const rpc::Call& call, const v1::CreateManufacturerRequest& request,
                                  v1::Manufacturer* response);
  absl::Status GetManufacturer(const rpc::Call& call, const v1::GetManufacturerRequest& request,
                               v1::Manufacturer* response);
  absl::Status ListManufacturers(const rpc::Call& call, const v1::ListManufacturersRequest& request,
                                 v1::ListManufacturersResponse* response);
  absl::Status RefreshManufacturer(const rpc::Call& call, const v1::RefreshManufacturerRequest& request,
                                   v1::Manufacturer* response);
  absl::Status CreateRelease(const rpc::Call& call, const v1::CreateReleaseRequest& request,
                             v1::Release* response);
  absl::Status GetRelease(const rpc::Call& call, const v1::GetReleaseRequest& request, v1::Release* response);
  absl::Status ListReleases(const rpc::Call& call, const v1::ListReleasesRequest& request,
                            v1::ListReleasesResponse* response);
  absl::Status FindUpdates(const rpc::Call& call, const v1::FindUpdatesRequest& request,
                           v1::FindUpdatesResponse* response);
  absl::Status CreateNotice(const rpc::Call& call, const v1::CreateNoticeRequest& request,
                            v1::Notice* response);
  absl::Status ListNotices(const rpc::Call& call, const v1::ListNoticesRequest& request,
                           v1::ListNoticesResponse* response);

  const Parts parts_;
};

}  // namespace countersign::liaison

#endif  // COUNTERSIGN_SERVICES_LIAISON_API_LIAISON_API_H_
