#ifndef COUNTERSIGN_SERVICES_PACKAGE_STORE_API_PACKAGE_STORE_API_H_
#define COUNTERSIGN_SERVICES_PACKAGE_STORE_API_PACKAGE_STORE_API_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/clock/clock.h"
#include "common/db/database.h"
#include "common/feed/tail.h"
#include "common/metrics/metrics.h"
#include "common/rpc/executor.h"
#include "common/rpc/handler.h"
#include "common/rpc/mutation.h"
#include "common/status/macros.h"
#include "countersign/package_store/v1/package_store.pb.h"
#include "services/package_store/api/metadata_files.h"
#include "services/package_store/storage/blob_store.h"
#include "services/package_store/storage/deltas.h"
#include "services/package_store/storage/images.h"
#include "services/package_store/storage/packages.h"
#include "services/package_store/storage/proposals.h"
#include "services/package_store/storage/publications.h"
#include "services/package_store/storage/transparency_log.h"

namespace countersign::package_store {

// PackageStoreService. Thread-safe.
//   countersign_package_store_sent_bytes_total{kind}     of images and of deltas, by this replica
//   countersign_package_store_delta_saved_bytes_total    that images have more than the deltas that were sent
class PackageStoreApi {
 public:
  // What the handlers work on; all of it outlives the server.
  struct Parts {
    db::Database& database;
    Publications& publications;
    Images& images;
    Proposals& proposals;
    Packages& packages;
    Deltas& deltas;
    BlobStore& blobs;
    TransparencyLog& log;
    feed::Tail& tail;
    const Clock& clock;
    metrics::Registry& registry;
    rpc::Executor& executor;
  };
  explicit PackageStoreApi(const Parts& parts);

  std::unique_ptr<rpc::Service> Bind();

 private:
  // metadata_handlers.cc
  absl::Status PublishRoot(const rpc::Call& call, const v1::PublishRootRequest& request,
                           v1::MetadataFile* response);
  absl::Status PublishTargets(const rpc::Call& call, const v1::PublishTargetsRequest& request,
                              v1::MetadataFile* response);
  absl::Status PublishPending(const rpc::Call& call, const v1::PublishPendingRequest& request,
                              v1::MetadataFile* response);
  // On gRPC's thread: most answers are in memory.
  void GetMetadata(const rpc::Call& call, const v1::GetMetadataRequest& request, v1::MetadataFile* response,
                   rpc::Done done);
  absl::Status GetLogFile(const rpc::Call& call, const v1::GetLogFileRequest& request, v1::LogFile* response);

  // proposal_handlers.cc
  absl::Status CreateProposal(const rpc::Call& call, const v1::CreateProposalRequest& request,
                              v1::Proposal* response);
  absl::Status GetProposal(const rpc::Call& call, const v1::GetProposalRequest& request,
                           v1::Proposal* response);
  absl::Status ListProposals(const rpc::Call& call, const v1::ListProposalsRequest& request,
                             v1::ListProposalsResponse* response);
  absl::Status ApproveProposal(const rpc::Call& call, const v1::ApproveProposalRequest& request,
                               v1::Proposal* response);
  absl::Status RefuseProposal(const rpc::Call& call, const v1::RefuseProposalRequest& request,
                              v1::Proposal* response);

  // package_handlers.cc
  absl::Status GetPackage(const rpc::Call& call, const v1::GetPackageRequest& request, v1::Package* response);
  absl::Status ListPackages(const rpc::Call& call, const v1::ListPackagesRequest& request,
                            v1::ListPackagesResponse* response);
  absl::Status RevokePackage(const rpc::Call& call, const v1::RevokePackageRequest& request,
                             v1::Package* response);
  absl::Status ListPackageEvents(const rpc::Call& call, const v1::ListPackageEventsRequest& request,
                                 v1::ListPackageEventsResponse* response);
  absl::StatusOr<std::unique_ptr<rpc::Producer<v1::WatchPackagesResponse>>> WatchPackages(
      const rpc::Call& call, const v1::WatchPackagesRequest& request, rpc::Waker waker);

  // image_handlers.cc
  absl::Status CreateUpload(const rpc::Call& call, const v1::CreateUploadRequest& request,
                            v1::Upload* response);
  absl::Status GetUpload(const rpc::Call& call, const v1::GetUploadRequest& request, v1::Upload* response);
  absl::StatusOr<std::unique_ptr<rpc::Consumer<v1::WriteUploadRequest, v1::Upload>>> WriteUpload(
      const rpc::Call& call);
  // The response is serialised by hand, so that an image's bytes are copied once, from the page cache.
  absl::StatusOr<std::unique_ptr<rpc::Producer<grpc::ByteBuffer>>> DownloadImage(
      const rpc::Call& call, const v1::DownloadImageRequest& request, rpc::Waker waker);
  absl::Status CreateDownloadUrl(const rpc::Call& call, const v1::CreateDownloadUrlRequest& request,
                                 v1::CreateDownloadUrlResponse* response);
  // What is known of an image that the caller may read: a gateway what is published, a manufacturer what it
  // has uploaded, the others what some metadata names. NOT_FOUND (IMAGE_NOT_FOUND).
  absl::StatusOr<Images::Visibility> CheckMaySee(const rpc::Identity& caller, const std::string& sha256);

  // delta_handlers.cc
  absl::Status GetDelta(const rpc::Call& call, const v1::GetDeltaRequest& request, v1::Delta* response);
  absl::StatusOr<std::unique_ptr<rpc::Producer<grpc::ByteBuffer>>> DownloadDelta(
      const rpc::Call& call, const v1::DownloadDeltaRequest& request, rpc::Waker waker);
  // Whether the caller may have a delta between these images.
  absl::Status CheckDelta(const rpc::Call& call, const std::string& base_sha256, const std::string& sha256);

  const Parts parts_;
  MetadataFiles files_;
  const metrics::Counter sent_images_;
  const metrics::Counter sent_deltas_;
  const metrics::Counter saved_bytes_;
};

// INVALID_ARGUMENT (REASON_INVALID) unless `reason` has 1 to 2,000 bytes without a NUL.
absl::Status CheckReason(absl::string_view reason);

// Who sends `request`; INVALID_ARGUMENT (REQUEST_ID_INVALID).
template <typename Request>
absl::StatusOr<Requester> RequesterOf(const rpc::Call& call, const Request& request) {
  RETURN_IF_ERROR(rpc::CheckRequestId(request.request_id()));
  return Requester{call.identity().ToString(), request.request_id(), rpc::RequestBytes(request)};
}

// OK unless the caller is another manufacturer: PERMISSION_DENIED (NOT_YOUR_MANUFACTURER).
absl::Status CheckOwn(const rpc::Identity& caller, absl::string_view manufacturer);

}  // namespace countersign::package_store

#endif  // COUNTERSIGN_SERVICES_PACKAGE_STORE_API_PACKAGE_STORE_API_H_
