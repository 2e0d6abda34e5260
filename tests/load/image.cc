#include "tests/load/image.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/crypto/digest.h"
#include "common/crypto/random.h"
#include "countersign/package_store/v1/package_store.pb.h"

namespace countersign::load {
namespace {

namespace v1 = ::countersign::package_store::v1;

constexpr size_t kBlockBytes = 256 << 10;

// A WriteUploadRequest without its data, whose bytes follow as they are.
std::string Header(const std::string& name, int64_t offset, size_t size) {
  v1::WriteUploadRequest request;
  if (offset == 0) request.set_name(name);
  request.set_offset(offset);
  std::string header = request.SerializeAsString();
  header.push_back(static_cast<char>(v1::WriteUploadRequest::kDataFieldNumber << 3 | 2));
  for (; size >= 0x80; size >>= 7) header.push_back(static_cast<char>(size | 0x80));
  header.push_back(static_cast<char>(size));
  return header;
}

}  // namespace

Image::Image(int64_t length)
    : length_(length),
      block_(crypto::RandomBytes(kBlockBytes)),
      first_block_(crypto::RandomBytes(kBlockBytes)) {
  crypto::Sha256Stream digest;
  ForEachBlock([&](int64_t, absl::string_view block) { digest.Update(block); });
  sha256_ = digest.FinishHex();
}

template <typename Visit>
void Image::ForEachBlock(const Visit& visit) const {
  for (int64_t offset = 0; offset < length_; offset += kBlockBytes) {
    const absl::string_view block = offset == 0 ? first_block_ : block_;
    visit(offset, block.substr(0, std::min<int64_t>(kBlockBytes, length_ - offset)));
  }
}

std::vector<grpc::ByteBuffer> Image::UploadMessages(const std::string& name) const {
  std::vector<grpc::ByteBuffer> messages;
  const grpc::Slice shared(block_);
  ForEachBlock([&](int64_t offset, absl::string_view block) {
    const bool is_shared = offset != 0 && block.size() == kBlockBytes;
    const grpc::Slice slices[] = {grpc::Slice(Header(name, offset, block.size())),
                                  is_shared ? shared : grpc::Slice(block.data(), block.size())};
    messages.emplace_back(slices, 2);
  });
  return messages;
}

void Image::Hash() const {
  crypto::Sha256Stream digest;
  ForEachBlock([&](int64_t, absl::string_view block) { digest.Update(block); });
  if (digest.FinishHex() != sha256_) std::abort();
}

void Image::WriteToDisk(const std::string& folder) const {
  const std::string path = absl::StrCat(folder, "/bare-", sha256_);
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  ForEachBlock([&](int64_t, absl::string_view block) {
    if (write(fd, block.data(), block.size()) != static_cast<ssize_t>(block.size())) {
      std::perror(path.c_str());
      std::abort();
    }
  });
  if (fdatasync(fd) != 0) std::abort();
  close(fd);
  unlink(path.c_str());
}

}  // namespace countersign::load
