#include "tools/ctl/image.h"

#include <fstream>

#include "absl/strings/str_cat.h"
#include "common/crypto/digest.h"
#include "common/status/errors.h"

namespace countersign::ctl {

absl::StatusOr<ImageDigest> DigestOf(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    return Error(absl::StatusCode::kNotFound, "FILE_MISSING",
                 absl::StrCat("cannot read ", path, ": is the path right?"));
  }
  ImageDigest result;
  crypto::Sha256Stream digest;
  std::string buffer(1 << 20, '\0');
  while (in.read(buffer.data(), buffer.size()), in.gcount() > 0) {
    digest.Update(absl::string_view(buffer.data(), in.gcount()));
    result.length_bytes += in.gcount();
  }
  if (in.bad())
    return Error(absl::StatusCode::kDataLoss, "READ_FAILED", absl::StrCat("cannot read all of ", path));
  if (result.length_bytes == 0) {
    return Error(absl::StatusCode::kInvalidArgument, "IMAGE_EMPTY",
                 absl::StrCat(path, " is empty: an image has bytes"));
  }
  result.sha256 = digest.FinishHex();
  return result;
}

}  // namespace countersign::ctl
