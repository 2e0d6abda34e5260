#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "google/protobuf/io/coded_stream.h"
#include "grpc/slice.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/slice.h"
#include "services/package_store/api/convert.h"
#include "services/package_store/api/package_store_api.h"
#include "services/package_store/domain/names.h"
#include "services/package_store/domain/upload_rules.h"

namespace countersign::package_store {
namespace {

constexpr int64_t kChunkBytes = 256 << 10;

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

// A DownloadImageResponse with `size` bytes of data, as bytes on the wire; `*data` is where the bytes go.
grpc_slice NewResponse(size_t size, char** data) {
  using google::protobuf::io::CodedOutputStream;
  constexpr uint8_t kDataTag = v1::DownloadImageResponse::kDataFieldNumber << 3 | 2;
  const size_t header = 1 + CodedOutputStream::VarintSize32(size);
  // Not grpc_slice_malloc: a small slice holds its bytes in itself, and they move with it.
  grpc_slice slice = grpc_slice_malloc_large(header + size);
  uint8_t* start = GRPC_SLICE_START_PTR(slice);
  *start = kDataTag;
  *data = reinterpret_cast<char*>(CodedOutputStream::WriteVarint32ToArray(size, start + 1));
  return slice;
}

// One stream of an image's bytes from the store: a chunk in memory at a time, whatever the image's size.
class DownloadStream : public rpc::Producer<grpc::ByteBuffer> {
 public:
  DownloadStream(std::unique_ptr<BlobStore::Reader> reader, int64_t offset, int64_t count)
      : reader_(std::move(reader)), offset_(offset), left_(count) {}

  absl::StatusOr<rpc::Step> Next(grpc::ByteBuffer* response) override {
    if (left_ == 0) return rpc::Step::kEnd;
    const size_t size = std::min(left_, kChunkBytes);
    char* data = nullptr;
    const grpc::Slice slice(NewResponse(size, &data), grpc::Slice::STEAL_REF);
    RETURN_IF_ERROR(reader_->Read(offset_, data, size));
    *response = grpc::ByteBuffer(&slice, 1);
    offset_ += size;
    left_ -= size;
    return rpc::Step::kWrite;
  }

 private:
  const std::unique_ptr<BlobStore::Reader> reader_;
  int64_t offset_;
  int64_t left_;
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

absl::StatusOr<std::unique_ptr<rpc::Producer<grpc::ByteBuffer>>> PackageStoreApi::DownloadImage(
    const rpc::Call& call, const v1::DownloadImageRequest& request, rpc::Waker) {
  RETURN_IF_ERROR(CheckSha256(request.sha256()));
  const bool is_manufacturer = call.identity().role == rpc::Role::kManufacturer;
  ASSIGN_OR_RETURN(const Images::Visibility visibility,
                   parts_.images.GetVisibility(request.sha256(), is_manufacturer ? call.identity().id : ""));
  if (!MaySee(call.identity(), visibility)) {
    return Error(absl::StatusCode::kNotFound, "IMAGE_NOT_FOUND",
                 absl::StrCat("There is no image ", request.sha256(), " that ", call.identity().ToString(),
                              " may read."));
  }
  ASSIGN_OR_RETURN(std::unique_ptr<BlobStore::Reader> reader, parts_.images.OpenImage(request.sha256()));
  int64_t count = 0;
  RETURN_IF_ERROR(CheckRange(reader->length(), request.offset(), request.length_bytes(), &count));
  return std::make_unique<DownloadStream>(std::move(reader), request.offset(), count);
}

}  // namespace countersign::package_store
