#ifndef COUNTERSIGN_TESTS_LOAD_IMAGE_H_
#define COUNTERSIGN_TESTS_LOAD_IMAGE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/slice.h"

namespace countersign::load {

// An image of any length that takes no memory: one block of random bytes again and again, behind a stamp that
// makes each image another one.
class Image {
 public:
  explicit Image(int64_t length);

  int64_t length() const { return length_; }
  const std::string& sha256() const { return sha256_; }

  // The messages of the stream that uploads it as `name`.
  std::vector<grpc::ByteBuffer> UploadMessages(const std::string& name) const;

  // The bare limits of its upload: its SHA-256, from memory; and its bytes on disk, written to a new file in
  // `folder` one after the other and synced. What they cost is for the caller to measure.
  void Hash() const;
  void WriteToDisk(const std::string& folder) const;

 private:
  template <typename Visit>
  void ForEachBlock(const Visit& visit) const;

  const int64_t length_;
  const std::string block_;
  const std::string first_block_;
  std::string sha256_;
};

}  // namespace countersign::load

#endif  // COUNTERSIGN_TESTS_LOAD_IMAGE_H_
