#ifndef COUNTERSIGN_SERVICES_PACKAGE_STORE_API_CHUNK_BUFFERS_H_
#define COUNTERSIGN_SERVICES_PACKAGE_STORE_API_CHUNK_BUFFERS_H_

#include <cstddef>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "grpcpp/support/slice.h"

namespace countersign::package_store {

// The buffers of one stream of large messages, used again and again: memory that is allocated for each
// message goes back to the kernel after it, and comes again page by page, which costs more than to fill it.
// Thread-safe; owned by a shared_ptr, since gRPC may hold on to a slice longer than the stream lives.
class ChunkBuffers : public std::enable_shared_from_this<ChunkBuffers> {
 public:
  // Each buffer has `bytes`.
  explicit ChunkBuffers(size_t bytes) : bytes_(bytes) {}

  // The first `size` bytes of a buffer, for the caller to fill at `*start`. The buffer is used again when the
  // last copy of the slice is gone.
  grpc::Slice Take(size_t size, char** start);

 private:
  struct Lease;
  void GiveBack(std::unique_ptr<char[]> buffer);

  const size_t bytes_;
  absl::Mutex mutex_;
  std::vector<std::unique_ptr<char[]>> free_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace countersign::package_store

#endif  // COUNTERSIGN_SERVICES_PACKAGE_STORE_API_CHUNK_BUFFERS_H_
