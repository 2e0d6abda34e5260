// Images on disk.
#ifndef COUNTERSIGN_TOOLS_CTL_IMAGE_H_
#define COUNTERSIGN_TOOLS_CTL_IMAGE_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace countersign::ctl {

struct ImageDigest {
  int64_t length_bytes = 0;
  std::string sha256;  // hex
};

// Length and digest of a file of any size. NOT_FOUND; INVALID_ARGUMENT when it is empty.
absl::StatusOr<ImageDigest> DigestOf(const std::string& path);

}  // namespace countersign::ctl

#endif  // COUNTERSIGN_TOOLS_CTL_IMAGE_H_
