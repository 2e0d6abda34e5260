#include "services/package_store/api/chunk_buffers.h"

#include <utility>

namespace countersign::package_store {

struct ChunkBuffers::Lease {
  std::shared_ptr<ChunkBuffers> owner;
  std::unique_ptr<char[]> buffer;

  static void End(void* lease) {
    const std::unique_ptr<Lease> ended(static_cast<Lease*>(lease));
    ended->owner->GiveBack(std::move(ended->buffer));
  }
};

grpc::Slice ChunkBuffers::Take(size_t size, char** start) {
  std::unique_ptr<char[]> buffer;
  {
    absl::MutexLock lock(&mutex_);
    if (!free_.empty()) {
      buffer = std::move(free_.back());
      free_.pop_back();
    }
  }
  if (buffer == nullptr) buffer = std::make_unique_for_overwrite<char[]>(bytes_);
  *start = buffer.get();
  return grpc::Slice(*start, size, &Lease::End, new Lease{shared_from_this(), std::move(buffer)});
}

void ChunkBuffers::GiveBack(std::unique_ptr<char[]> buffer) {
  absl::MutexLock lock(&mutex_);
  free_.push_back(std::move(buffer));
}

}  // namespace countersign::package_store
