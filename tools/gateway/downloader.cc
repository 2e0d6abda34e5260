#include "tools/gateway/downloader.h"

#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/crypto/digest.h"
#include "common/crypto/hex.h"
#include "common/delta/delta.h"
#include "common/file/file.h"
#include "common/log/log.h"
#include "common/rpc/channel.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/trust/reasons.h"
#include "countersign/package_store/v1/package_store.grpc.pb.h"
#include "tools/gateway/image_file.h"

namespace countersign::gateway {
namespace {

using package_store::v1::PackageStoreService;
namespace v1 = package_store::v1;

constexpr absl::Duration kCallTimeout = absl::Seconds(20);
// Bytes are asked for in slices, so that a stalled connection costs one of them.
constexpr int64_t kSliceBytes = 1 << 20;
constexpr absl::Duration kShortestDelay = absl::Milliseconds(100);

// All that a server stream brings, into the file.
template <typename Response>
absl::Status Receive(rpc::CallContext& context, grpc::ClientReader<Response>& reader, ImageFile& file) {
  Response response;
  absl::Status status;
  while (status.ok() && reader.Read(&response)) status = file.Append(response.data());
  if (!status.ok()) context->TryCancel();
  const absl::Status ended = rpc::FromGrpc(reader.Finish());
  RETURN_IF_ERROR(status);
  if (absl::IsDeadlineExceeded(ended)) {
    return Error(absl::StatusCode::kUnavailable, kSlowRetrieval,
                 "the package store sends more slowly than the gateway waits for");
  }
  // No reason of the server's is a verdict on what it sends.
  if (!ended.ok()) return absl::UnavailableError(ended.message());
  return absl::OkStatus();
}

// What the store says of a delta does not hold, or the delta does not give the image.
absl::Status BadDelta(absl::string_view what) {
  return Error(absl::StatusCode::kInvalidArgument, "DELTA_INVALID", what);
}
bool IsBadDelta(const absl::Status& status) { return ReasonOf(status) == "DELTA_INVALID"; }

// Other bytes than were promised, whatever their cause.
bool AreWrongBytes(const absl::Status& status) {
  const std::string reason = ReasonOf(status);
  return reason == trust::kLengthExceeded || reason == trust::kLengthMismatch ||
         reason == trust::kDigestMismatch;
}

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() {
    if (fd_ >= 0) close(fd_);
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  int get() const { return fd_; }

 private:
  const int fd_;
};

}  // namespace

absl::Duration Downloader::SliceTimeout(int64_t bytes) const {
  // The deadline is the minimum speed.
  return options_.slice_grace + absl::Seconds(bytes / options_.minimum_bytes_per_second);
}

absl::Status Downloader::Download(const trust::VerifiedUpdate& update, const std::string& base_sha256,
                                  absl::FunctionRef<void(const absl::Status&)> bad_delta) {
  ASSIGN_OR_RETURN(const bool there, TryDelta(update, base_sha256, bad_delta));
  return there ? absl::OkStatus() : DownloadWhole(update);
}

absl::Status Downloader::DownloadWhole(const trust::VerifiedUpdate& update) {
  ASSIGN_OR_RETURN(const auto file, ImageFile::Open(folder_, update.sha256, update.length));
  const auto stub = PackageStoreService::NewStub(package_store_);
  while (file->offset() < update.length) {
    const int64_t begin = file->offset();
    v1::DownloadImageRequest request;
    request.set_sha256(update.sha256);
    request.set_offset(begin);
    request.set_length_bytes(std::min(kSliceBytes, update.length - begin));
    rpc::CallContext context(SliceTimeout(request.length_bytes()));
    RETURN_IF_ERROR(Receive(context, *stub->DownloadImage(context.get(), request), *file));
    if (file->offset() == begin)
      return absl::UnavailableError("the package store sends no bytes of the image");
  }
  return file->Finish();
}

absl::StatusOr<bool> Downloader::TryDelta(const trust::VerifiedUpdate& update, const std::string& base_sha256,
                                          absl::FunctionRef<void(const absl::Status&)> bad_delta) {
  // A device says what it runs: it may say anything.
  if (update.length > options_.delta_max_bytes || !crypto::IsSha256Hex(base_sha256) ||
      base_sha256 == update.sha256 || ImageFile::HasBegun(folder_, update.sha256)) {
    return false;
  }
  const absl::StatusOr<int64_t> base_length = ImageLength(folder_, base_sha256);
  if (!base_length.ok() || *base_length > options_.delta_max_bytes ||
      !CheckImage(folder_, base_sha256, *base_length).ok()) {
    return false;
  }
  const absl::StatusOr<Delta> delta = AskForDelta(update, base_sha256);
  absl::Status status = delta.status();
  if (status.ok()) status = DownloadDelta(update, *delta);
  if (absl::IsUnavailable(status)) return status;
  if (status.ok()) status = ApplyDelta(update, *delta);
  if (delta.ok()) RETURN_IF_ERROR(RemoveImageFile(folder_, delta->file));
  if (status.ok()) {
    log::Info("had by delta", {{"sha256", update.sha256},
                               {"base_sha256", base_sha256},
                               {"bytes", update.length},
                               {"delta_bytes", delta->length}});
    return true;
  }
  log::Info("no delta", {{"sha256", update.sha256}, {"base_sha256", base_sha256}, {"status", status}});
  if (IsBadDelta(status)) bad_delta(status);
  return false;
}

absl::StatusOr<Downloader::Delta> Downloader::AskForDelta(const trust::VerifiedUpdate& update,
                                                          const std::string& base_sha256) {
  v1::GetDeltaRequest request;
  request.set_base_sha256(base_sha256);
  request.set_sha256(update.sha256);
  v1::Delta answer;
  for (absl::Duration left = options_.delta_wait;;) {
    rpc::CallContext context(kCallTimeout);
    const auto stub = PackageStoreService::NewStub(package_store_);
    if (const absl::Status status = rpc::FromGrpc(stub->GetDelta(context.get(), request, &answer));
        !status.ok()) {
      // Also of a store that knows of no deltas: the image can be had without.
      return absl::NotFoundError(status.message());
    }
    if (answer.state() != v1::Delta::STATE_PENDING) break;
    if (left <= absl::ZeroDuration()) return absl::NotFoundError("it is being made");
    const absl::Duration wanted =
        absl::Seconds(answer.retry_delay().seconds()) + absl::Nanoseconds(answer.retry_delay().nanos());
    const absl::Duration delay = std::min(std::max(wanted, kShortestDelay), left);
    if (options_.sleep) {
      options_.sleep(delay);
    } else {
      absl::SleepFor(delay);
    }
    left -= delay;
  }
  if (answer.state() != v1::Delta::STATE_READY) return absl::NotFoundError("it would not pay");
  if (answer.length_bytes() < 1 || answer.length_bytes() >= update.length ||
      !crypto::IsSha256Hex(answer.delta_sha256())) {
    return BadDelta(absl::StrCat("the package store has a delta of ", answer.length_bytes(),
                                 " bytes for an image of ", update.length));
  }
  return Delta{base_sha256, answer.delta_sha256(), answer.length_bytes(),
               absl::StrCat(update.sha256, ".", answer.delta_sha256())};
}

absl::Status Downloader::DownloadDelta(const trust::VerifiedUpdate& update, const Delta& delta) {
  // It was complete when the power went.
  if (CheckFile(folder_, delta.file, delta.sha256, delta.length).ok()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const auto file, ImageFile::OpenAs(folder_, delta.file, delta.sha256, delta.length));
  const int64_t first = file->offset();
  const auto stub = PackageStoreService::NewStub(package_store_);
  absl::Status status;
  while (status.ok() && file->offset() < delta.length) {
    const int64_t begin = file->offset();
    v1::DownloadDeltaRequest request;
    request.set_base_sha256(delta.base_sha256);
    request.set_sha256(update.sha256);
    request.set_offset(begin);
    request.set_length_bytes(std::min(kSliceBytes, delta.length - begin));
    rpc::CallContext context(SliceTimeout(request.length_bytes()));
    status = Receive(context, *stub->DownloadDelta(context.get(), request), *file);
    if (status.ok() && file->offset() == begin) {
      status = absl::UnavailableError("the package store sends no bytes of the delta");
    }
  }
  if (status.ok()) status = file->Finish();
  if (AreWrongBytes(status)) return BadDelta(absl::StrCat("the delta came damaged: ", status.message()));
  // After a cut it goes on later, as long as it gets on: a store that serves no deltas has images.
  if (absl::IsUnavailable(status) && file->offset() == first) return absl::NotFoundError(status.message());
  return status;
}

absl::Status Downloader::ApplyDelta(const trust::VerifiedUpdate& update, const Delta& delta) {
  const std::string path = absl::StrCat(ImagePath(folder_, update.sha256), ".patched");
  const Fd base_file(open(ImagePath(folder_, delta.base_sha256).c_str(), O_RDONLY | O_CLOEXEC));
  const Fd delta_file(open(ImagePath(folder_, delta.file).c_str(), O_RDONLY | O_CLOEXEC));
  const Fd image_file(open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  absl::Status status = [&]() -> absl::Status {
    ASSIGN_OR_RETURN(const delta::Mapping base, delta::Mapping::OfFile(base_file.get()));
    ASSIGN_OR_RETURN(const delta::Mapping bytes, delta::Mapping::OfFile(delta_file.get()));
    ASSIGN_OR_RETURN(const auto applier, delta::Applier::Open(base.bytes(), image_file.get(), update.length,
                                                              options_.delta_max_bytes));
    RETURN_IF_ERROR(applier->Append(bytes.bytes()));
    RETURN_IF_ERROR(applier->Finish());
    return AdoptImage(path, folder_, update.sha256, update.length);
  }();
  if (status.ok()) return status;
  RETURN_IF_ERROR(RemoveFile(path));
  // INVALID_ARGUMENT is the delta's fault, and so are other bytes than the image's; all else is this disk's.
  if (absl::IsInvalidArgument(status) || AreWrongBytes(status)) {
    return BadDelta(absl::StrCat("the delta does not give the image: ", status.message()));
  }
  return status;
}

}  // namespace countersign::gateway
