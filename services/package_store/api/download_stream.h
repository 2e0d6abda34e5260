#ifndef COUNTERSIGN_SERVICES_PACKAGE_STORE_API_DOWNLOAD_STREAM_H_
#define COUNTERSIGN_SERVICES_PACKAGE_STORE_API_DOWNLOAD_STREAM_H_

#include <cstdint>
#include <functional>
#include <memory>

#include "common/rpc/handler.h"
#include "services/package_store/storage/blob_store.h"

namespace countersign::package_store {

// `count` bytes of a blob from `offset` on, as DownloadImageResponse or DownloadDeltaResponse, serialised by
// hand so that they are copied once: a chunk in memory at a time, whatever the blob's length. `sent` is told
// the length of each chunk.
std::unique_ptr<rpc::Producer<grpc::ByteBuffer>> MakeDownloadStream(std::unique_ptr<BlobStore::Reader> reader,
                                                                    int64_t offset, int64_t count,
                                                                    std::function<void(int64_t bytes)> sent);

}  // namespace countersign::package_store

#endif  // COUNTERSIGN_SERVICES_PACKAGE_STORE_API_DOWNLOAD_STREAM_H_
