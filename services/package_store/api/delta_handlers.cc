#include <string>
#include <utility>

#include "common/rpc/status_grpc.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "services/package_store/api/convert.h"
#include "services/package_store/api/download_stream.h"
#include "services/package_store/api/package_store_api.h"
#include "services/package_store/domain/delta_rules.h"
#include "services/package_store/domain/upload_rules.h"

namespace countersign::package_store {
namespace {

// Long enough for the queue to become shorter.
constexpr absl::Duration kQueueDelay = absl::Seconds(30);

}  // namespace

absl::Status PackageStoreApi::CheckDelta(const rpc::Call& call, const std::string& base_sha256,
                                         const std::string& sha256) {
  RETURN_IF_ERROR(CheckDeltaPair(base_sha256, sha256));
  // A delta tells something of both.
  RETURN_IF_ERROR(CheckMaySee(call.identity(), base_sha256).status());
  return CheckMaySee(call.identity(), sha256).status();
}

absl::Status PackageStoreApi::GetDelta(const rpc::Call& call, const v1::GetDeltaRequest& request,
                                       v1::Delta* response) {
  RETURN_IF_ERROR(CheckDelta(call, request.base_sha256(), request.sha256()));
  const absl::StatusOr<Delta> delta = parts_.deltas.Ask(request.base_sha256(), request.sha256(),
                                                        call.identity().ToString(), parts_.clock.Now());
  if (ReasonOf(delta.status()) == "TOO_MANY_DELTAS") return rpc::WithRetryDelay(delta.status(), kQueueDelay);
  RETURN_IF_ERROR(delta.status());
  *response = ToProto(*delta);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<rpc::Producer<grpc::ByteBuffer>>> PackageStoreApi::DownloadDelta(
    const rpc::Call& call, const v1::DownloadDeltaRequest& request, rpc::Waker) {
  RETURN_IF_ERROR(CheckDelta(call, request.base_sha256(), request.sha256()));
  ASSIGN_OR_RETURN(const Delta delta, parts_.deltas.GetReady(request.base_sha256(), request.sha256()));
  absl::StatusOr<std::unique_ptr<BlobStore::Reader>> reader = parts_.blobs.OpenDelta(delta.object);
  if (absl::IsNotFound(reader.status())) {
    RETURN_IF_ERROR(parts_.deltas.Forget(delta.object));
    return Error(absl::StatusCode::kNotFound, "DELTA_NOT_READY",
                 "The delta is gone; ask for it with GetDelta, and it is made again.");
  }
  RETURN_IF_ERROR(reader.status());
  int64_t count = 0;
  RETURN_IF_ERROR(CheckRange((*reader)->length(), request.offset(), request.length_bytes(), &count));
  const bool to_the_end = request.offset() + count == (*reader)->length();
  const double saved = static_cast<double>(delta.image_bytes - delta.length_bytes);
  return MakeDownloadStream(*std::move(reader), request.offset(), count,
                            [sent = sent_deltas_, saved_bytes = saved_bytes_, left = count, to_the_end,
                             saved](int64_t bytes) mutable {
                              sent.Increment(static_cast<double>(bytes));
                              left -= bytes;
                              if (left == 0 && to_the_end) saved_bytes.Increment(saved);
                            });
}

}  // namespace countersign::package_store
