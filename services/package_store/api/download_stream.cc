#include "services/package_store/api/download_stream.h"

#include <algorithm>
#include <utility>

#include "common/status/macros.h"
#include "countersign/package_store/v1/package_store.pb.h"
#include "google/protobuf/io/coded_stream.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/slice.h"
#include "services/package_store/api/chunk_buffers.h"

namespace countersign::package_store {
namespace {

constexpr int64_t kChunkBytes = 256 << 10;
constexpr int kDataField = v1::DownloadImageResponse::kDataFieldNumber;
static_assert(kDataField == int{v1::DownloadDeltaResponse::kDataFieldNumber});

// The bytes on the wire that a response has before its data, at most.
constexpr size_t kMaxHeaderBytes = 6;

// A response with `size` bytes of data, as bytes on the wire; `*data` is where the bytes go.
grpc::Slice NewResponse(ChunkBuffers& buffers, size_t size, char** data) {
  using google::protobuf::io::CodedOutputStream;
  constexpr uint8_t kDataTag = kDataField << 3 | 2;
  const size_t header = 1 + CodedOutputStream::VarintSize32(size);
  char* start = nullptr;
  grpc::Slice slice = buffers.Take(header + size, &start);
  *start = kDataTag;
  *data = reinterpret_cast<char*>(
      CodedOutputStream::WriteVarint32ToArray(size, reinterpret_cast<uint8_t*>(start + 1)));
  return slice;
}

class DownloadStream : public rpc::Producer<grpc::ByteBuffer> {
 public:
  DownloadStream(std::unique_ptr<BlobStore::Reader> reader, int64_t offset, int64_t count,
                 std::function<void(int64_t)> sent)
      : reader_(std::move(reader)), sent_(std::move(sent)), offset_(offset), left_(count) {}

  absl::StatusOr<rpc::Step> Next(grpc::ByteBuffer* response) override {
    if (left_ == 0) return rpc::Step::kEnd;
    const size_t size = std::min(left_, kChunkBytes);
    char* data = nullptr;
    const grpc::Slice slice = NewResponse(*buffers_, size, &data);
    RETURN_IF_ERROR(reader_->Read(offset_, data, size));
    *response = grpc::ByteBuffer(&slice, 1);
    offset_ += size;
    left_ -= size;
    sent_(size);
    return rpc::Step::kWrite;
  }

 private:
  const std::unique_ptr<BlobStore::Reader> reader_;
  const std::function<void(int64_t)> sent_;
  const std::shared_ptr<ChunkBuffers> buffers_ =
      std::make_shared<ChunkBuffers>(kMaxHeaderBytes + kChunkBytes);
  int64_t offset_;
  int64_t left_;
};

}  // namespace

std::unique_ptr<rpc::Producer<grpc::ByteBuffer>> MakeDownloadStream(std::unique_ptr<BlobStore::Reader> reader,
                                                                    int64_t offset, int64_t count,
                                                                    std::function<void(int64_t)> sent) {
  return std::make_unique<DownloadStream>(std::move(reader), offset, count, std::move(sent));
}

}  // namespace countersign::package_store
