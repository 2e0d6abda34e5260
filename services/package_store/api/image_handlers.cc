#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "services/package_store/api/convert.h"
#include "services/package_store/api/download_stream.h"
#include "services/package_store/api/package_store_api.h"
#include "services/package_store/domain/names.h"
#include "services/package_store/domain/upload_rules.h"

namespace countersign::package_store {
namespace {

// Long enough to begin each of a large image's ranges, short enough that a URL that leaks is soon worth
// nothing.
constexpr absl::Duration kUrlLifetime = absl::Hours(1);

// One stream of an image's bytes to the store. Its first message names the upload.
class UploadStream : public rpc::Consumer<v1::WriteUploadRequest, v1::Upload> {
 public:
  UploadStream(rpc::Identity caller, Images& images, const Clock& clock)
      : caller_(std::move(caller)), images_(images), clock_(clock) {}

  absl::Status OnMessage(const v1::WriteUploadRequest& request) override {
    if (session_ == nullptr) {
      ASSIGN_OR_RETURN(const UploadName name, ParseUploadName(request.name()));
      RETURN_IF_ERROR(CheckOwn(caller_, name.manufacturer));
      ASSIGN_OR_RETURN(session_, images_.OpenUpload(name.manufacturer, name.sha256));
      name_ = request.name();
    } else if (!request.name().empty() && request.name() != name_) {
      return Error(absl::StatusCode::kInvalidArgument, "NAME_INVALID", "One stream writes one upload.");
    }
    return session_->Append(request.offset(), request.data(), clock_.Now());
  }

  absl::Status OnEnd(v1::Upload* response) override {
    if (session_ == nullptr) {
      return Error(absl::StatusCode::kInvalidArgument, "NAME_INVALID", "The first message names the upload.");
    }
    ASSIGN_OR_RETURN(const Upload upload, session_->Finish());
    *response = ToProto(upload);
    return absl::OkStatus();
  }

 private:
  const rpc::Identity caller_;
  Images& images_;
  const Clock& clock_;
  std::string name_;
  std::unique_ptr<Images::Session> session_;
};

// Whether the caller may read an image: a gateway what is published, a manufacturer what it has uploaded, the
// others what some metadata names.
bool MaySee(const rpc::Identity& caller, const Images::Visibility& visibility) {
  switch (caller.role) {
    case rpc::Role::kGateway:
      return visibility.published;
    case rpc::Role::kManufacturer:
      return visibility.owned;
    default:
      return visibility.published || visibility.proposed;
  }
}

}  // namespace

absl::Status PackageStoreApi::CreateUpload(const rpc::Call& call, const v1::CreateUploadRequest& request,
                                           v1::Upload* response) {
  ASSIGN_OR_RETURN(const std::string manufacturer, ParseManufacturer(request.parent()));
  RETURN_IF_ERROR(CheckOwn(call.identity(), manufacturer));
  RETURN_IF_ERROR(CheckSha256(request.upload().sha256()));
  ASSIGN_OR_RETURN(const Upload upload,
                   parts_.images.CreateUpload(manufacturer, request.upload().sha256(),
                                              request.upload().length_bytes(), parts_.clock.Now()));
  *response = ToProto(upload);
  return absl::OkStatus();
}

absl::Status PackageStoreApi::GetUpload(const rpc::Call& call, const v1::GetUploadRequest& request,
                                        v1::Upload* response) {
  ASSIGN_OR_RETURN(const UploadName name, ParseUploadName(request.name()));
  RETURN_IF_ERROR(CheckOwn(call.identity(), name.manufacturer));
  ASSIGN_OR_RETURN(const Upload upload,
                   parts_.images.GetUpload(name.manufacturer, name.sha256, parts_.clock.Now()));
  *response = ToProto(upload);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<rpc::Consumer<v1::WriteUploadRequest, v1::Upload>>>
PackageStoreApi::WriteUpload(const rpc::Call& call) {
  return std::make_unique<UploadStream>(call.identity(), parts_.images, parts_.clock);
}

absl::StatusOr<Images::Visibility> PackageStoreApi::CheckMaySee(const rpc::Identity& caller,
                                                                const std::string& sha256) {
  const bool is_manufacturer = caller.role == rpc::Role::kManufacturer;
  ASSIGN_OR_RETURN(const Images::Visibility visibility,
                   parts_.images.GetVisibility(sha256, is_manufacturer ? caller.id : ""));
  if (MaySee(caller, visibility)) return visibility;
  return Error(absl::StatusCode::kNotFound, "IMAGE_NOT_FOUND",
               absl::StrCat("There is no image ", sha256, " that ", caller.ToString(), " may read."));
}

absl::Status PackageStoreApi::CreateDownloadUrl(const rpc::Call& call,
                                                const v1::CreateDownloadUrlRequest& request,
                                                v1::CreateDownloadUrlResponse* response) {
  RETURN_IF_ERROR(CheckSha256(request.sha256()));
  ASSIGN_OR_RETURN(const Images::Visibility visibility, CheckMaySee(call.identity(), request.sha256()));
  const absl::Time now = parts_.clock.Now();
  ASSIGN_OR_RETURN(*response->mutable_url(),
                   parts_.images.DownloadUrl(request.sha256(), visibility, now, kUrlLifetime));
  *response->mutable_expire_time() = ToProto(now + kUrlLifetime);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<rpc::Producer<grpc::ByteBuffer>>> PackageStoreApi::DownloadImage(
    const rpc::Call& call, const v1::DownloadImageRequest& request, rpc::Waker) {
  RETURN_IF_ERROR(CheckSha256(request.sha256()));
  ASSIGN_OR_RETURN(const Images::Visibility visibility, CheckMaySee(call.identity(), request.sha256()));
  ASSIGN_OR_RETURN(std::unique_ptr<BlobStore::Reader> reader,
                   parts_.images.OpenImage(request.sha256(), visibility, parts_.clock.Now()));
  int64_t count = 0;
  RETURN_IF_ERROR(CheckRange(reader->length(), request.offset(), request.length_bytes(), &count));
  return MakeDownloadStream(std::move(reader), request.offset(), count, [sent = sent_images_](int64_t bytes) {
    sent.Increment(static_cast<double>(bytes));
  });
}

}  // namespace countersign::package_store
