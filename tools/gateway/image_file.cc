#include "tools/gateway/image_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/file/file.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/trust/reasons.h"

namespace countersign::gateway {
namespace {

constexpr absl::string_view kPartial = ".partial";
constexpr size_t kReadBytes = 256 << 10;

absl::Status SystemError(absl::string_view what, const std::string& path) {
  const bool full = errno == ENOSPC || errno == EDQUOT || errno == EFBIG;
  return Error(full ? absl::StatusCode::kResourceExhausted : absl::StatusCode::kInternal,
               full ? "NO_FLASH" : "DISK_FAILED",
               absl::StrCat("cannot ", what, " ", path, ": ", strerror(errno)));
}

// Feeds the open file to `check`.
absl::Status Feed(int descriptor, const std::string& path, trust::ImageCheck& check) {
  std::string buffer(kReadBytes, '\0');
  for (;;) {
    const ssize_t count = read(descriptor, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return SystemError("read", path);
    if (count == 0) return absl::OkStatus();
    RETURN_IF_ERROR(check.Update(absl::string_view(buffer.data(), count)));
  }
}

}  // namespace

std::string ImagePath(const std::string& folder, const std::string& sha256) {
  return absl::StrCat(folder, "/", sha256);
}

absl::Status CheckImage(const std::string& folder, const std::string& sha256, int64_t length) {
  return CheckFile(folder, sha256, sha256, length);
}

absl::Status CheckFile(const std::string& folder, const std::string& name, const std::string& sha256,
                       int64_t length) {
  const std::string path = ImagePath(folder, name);
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) {
    return errno == ENOENT ? absl::NotFoundError(absl::StrCat("there is no ", path))
                           : SystemError("open", path);
  }
  trust::ImageCheck check(length, sha256);
  absl::Status status = Feed(descriptor, path, check);
  close(descriptor);
  if (status.ok()) status = check.Finish();
  if (status.ok()) return status;
  RETURN_IF_ERROR(RemoveFile(path));
  return absl::NotFoundError(absl::StrCat(path, " was damaged: ", status.message()));
}

absl::StatusOr<int64_t> ImageLength(const std::string& folder, const std::string& sha256) {
  std::error_code error;
  const auto length = std::filesystem::file_size(ImagePath(folder, sha256), error);
  if (error) return absl::NotFoundError(absl::StrCat("there is no ", ImagePath(folder, sha256)));
  return static_cast<int64_t>(length);
}

absl::Status AdoptImage(const std::string& path, const std::string& folder, const std::string& sha256,
                        int64_t length) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return SystemError("open", path);
  trust::ImageCheck check(length, sha256);
  absl::Status status = Feed(descriptor, path, check);
  if (status.ok()) status = check.Finish();
  if (status.ok() && fsync(descriptor) != 0) status = SystemError("sync", path);
  close(descriptor);
  RETURN_IF_ERROR(status);
  if (std::rename(path.c_str(), ImagePath(folder, sha256).c_str()) != 0) return SystemError("rename", path);
  return SyncDirectory(folder);
}

absl::Status RemoveImageFile(const std::string& folder, const std::string& name) {
  RETURN_IF_ERROR(RemoveFile(ImagePath(folder, name)));
  return RemoveFile(absl::StrCat(ImagePath(folder, name), kPartial));
}

absl::Status RemoveOtherImages(const std::string& folder, const std::set<std::string>& wanted) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (!wanted.contains(name.substr(0, name.find('.')))) RETURN_IF_ERROR(RemoveFile(entry.path().string()));
  }
  if (error) return absl::InternalError(absl::StrCat("cannot list ", folder, ": ", error.message()));
  return absl::OkStatus();
}

std::string ImageFile::partial_path() const { return absl::StrCat(ImagePath(folder_, name_), kPartial); }

absl::StatusOr<std::unique_ptr<ImageFile>> ImageFile::Open(const std::string& folder,
                                                           const std::string& sha256, int64_t length) {
  return OpenAs(folder, sha256, sha256, length);
}

bool ImageFile::HasBegun(const std::string& folder, const std::string& sha256) {
  std::error_code error;
  return std::filesystem::exists(absl::StrCat(ImagePath(folder, sha256), kPartial), error);
}

absl::StatusOr<std::unique_ptr<ImageFile>> ImageFile::OpenAs(const std::string& folder,
                                                             const std::string& name,
                                                             const std::string& sha256, int64_t length) {
  for (const bool again : {false, true}) {
    std::unique_ptr<ImageFile> file(new ImageFile(folder, name, sha256, length));
    const absl::Status status = file->Resume();
    if (status.ok()) return file;
    if (again || ReasonOf(status) != trust::kLengthExceeded) return status;
    RETURN_IF_ERROR(RemoveFile(file->partial_path()));
  }
  return absl::InternalError("not reached");
}

absl::Status ImageFile::Resume() {
  descriptor_ = open(partial_path().c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (descriptor_ < 0) return SystemError("open", partial_path());
  return Feed(descriptor_, partial_path(), check_);
}

ImageFile::~ImageFile() {
  if (descriptor_ >= 0) close(descriptor_);
}

absl::Status ImageFile::Append(absl::string_view bytes) {
  if (const absl::Status status = check_.Update(bytes); !status.ok()) {
    RETURN_IF_ERROR(RemoveFile(partial_path()));
    return status;
  }
  while (!bytes.empty()) {
    const ssize_t written = write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return SystemError("write", partial_path());
    bytes.remove_prefix(written);
  }
  return absl::OkStatus();
}

absl::Status ImageFile::Finish() {
  if (const absl::Status status = check_.Finish(); !status.ok()) {
    if (ReasonOf(status) == trust::kDigestMismatch) RETURN_IF_ERROR(RemoveFile(partial_path()));
    return status;
  }
  if (fsync(descriptor_) != 0) return SystemError("sync", partial_path());
  if (std::rename(partial_path().c_str(), ImagePath(folder_, name_).c_str()) != 0) {
    return SystemError("rename", partial_path());
  }
  return SyncDirectory(folder_);
}

}  // namespace countersign::gateway
