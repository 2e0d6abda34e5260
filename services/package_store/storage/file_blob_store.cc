#include "services/package_store/storage/file_blob_store.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/crypto/digest.h"
#include "common/crypto/hex.h"
#include "common/file/file.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "services/package_store/domain/upload_rules.h"

namespace countersign::package_store {
namespace {

// The kernel is told to begin writing this often, so that the sync at the end has little left to wait for.
constexpr int64_t kWritebackBytes = 8 << 20;
constexpr size_t kReadBytes = 1 << 20;
constexpr char kPartial[] = ".partial";  // a delta that is not whole yet

absl::Status SystemError(absl::string_view what, const std::string& path) {
  const int error = errno;
  if (error == ENOSPC || error == EDQUOT) {
    return Error(absl::StatusCode::kResourceExhausted, "DISK_FULL",
                 "The store's disk is full. Nothing that was committed is lost; go on once the operator has "
                 "made room.");
  }
  return absl::InternalError(absl::StrCat("cannot ", what, " ", path, ": ", std::strerror(error)));
}

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() {
    if (fd_ >= 0) close(fd_);
  }
  Fd(Fd&& other) : fd_(std::exchange(other.fd_, -1)) {}
  int get() const { return fd_; }

 private:
  int fd_;
};

absl::Status ReadAt(int fd, const std::string& path, int64_t offset, char* buffer, size_t size) {
  while (size > 0) {
    const ssize_t count = pread(fd, buffer, size, offset);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return SystemError("read", path);
    if (count == 0) return absl::InternalError(absl::StrCat(path, " ends at ", offset, ", too early"));
    buffer += count;
    size -= count;
    offset += count;
  }
  return absl::OkStatus();
}

// Every entry of a folder but "." and "..".
absl::StatusOr<std::vector<std::string>> List(const std::string& folder) {
  DIR* directory = opendir(folder.c_str());
  if (directory == nullptr) return SystemError("list", folder);
  std::vector<std::string> names;
  while (const dirent* entry = readdir(directory)) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  closedir(directory);
  return names;
}

}  // namespace

// An upload's file while this process writes it. Its lock is the right to write.
struct FileBlobStore::Part {
  Part(std::string path, std::string image_path, std::string sha256, int fd)
      : path(std::move(path)), image_path(std::move(image_path)), sha256(std::move(sha256)), fd(fd) {}

  absl::Status CheckHolder(uint64_t holder) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    if (holder == generation) return absl::OkStatus();
    return UploadTakenOver();
  }

  // Takes up the first `size` bytes of the file.
  absl::Status Rehash(int64_t file_size) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    std::string buffer(kReadBytes, '\0');
    size = 0;
    while (size < file_size) {
      const size_t count = std::min<int64_t>(buffer.size(), file_size - size);
      RETURN_IF_ERROR(ReadAt(fd.get(), path, size, buffer.data(), count));
      digest.Update(absl::string_view(buffer.data(), count));
      size += count;
    }
    return absl::OkStatus();
  }

  absl::Status Truncate() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    if (ftruncate(fd.get(), 0) != 0) return SystemError("empty", path);
    size = 0;
    written_back = 0;
    verified = false;
    digest.Finish();
    return absl::OkStatus();
  }

  const std::string path;
  const std::string image_path;
  const std::string sha256;
  const Fd fd;
  absl::Mutex mutex;
  uint64_t generation ABSL_GUARDED_BY(mutex) = 0;  // the writer that holds it
  int64_t size ABSL_GUARDED_BY(mutex) = 0;
  int64_t written_back ABSL_GUARDED_BY(mutex) = 0;
  bool verified ABSL_GUARDED_BY(mutex) = false;        // then `digest` is used up
  crypto::Sha256Stream digest ABSL_GUARDED_BY(mutex);  // of the first `size` bytes
};

class FileBlobStore::FileWriter : public Writer {
 public:
  FileWriter(std::shared_ptr<Part> part, int64_t length, uint64_t generation)
      : Writer(length), part_(std::move(part)), generation_(generation) {}

  int64_t size() const override;
  absl::Status Append(int64_t offset, absl::string_view data) override;
  absl::StatusOr<int64_t> Sync() override;
  absl::Status Verify() override;
  absl::Status Publish(bool replace) override;
  void Discard() override;

 private:
  const std::shared_ptr<Part> part_;
  const uint64_t generation_;
};

class FileBlobStore::FileReader : public Reader {
 public:
  FileReader(Fd fd, int64_t length) : Reader(length), fd_(std::move(fd)) {}
  absl::Status Read(int64_t offset, char* buffer, size_t size) override;

 private:
  const Fd fd_;
};

absl::StatusOr<std::unique_ptr<FileBlobStore>> FileBlobStore::Open(const std::string& folder,
                                                                   const std::string& repository_id,
                                                                   bool has_images) {
  RETURN_IF_ERROR(MakeDirectories(absl::StrCat(folder, "/uploads")));
  RETURN_IF_ERROR(MakeDirectories(absl::StrCat(folder, "/deltas")));
  RETURN_IF_ERROR(MakeDirectories(absl::StrCat(folder, "/records")));
  for (int i = 0; i < 256; ++i) {
    RETURN_IF_ERROR(MakeDirectories(
        absl::StrCat(folder, "/images/", crypto::HexEncode(std::string(1, static_cast<char>(i))))));
  }
  const std::string marker = absl::StrCat(folder, "/repository");
  const absl::StatusOr<std::string> owner = ReadFile(marker);
  if (!owner.ok() && owner.status().code() != absl::StatusCode::kNotFound) return owner.status();
  if (owner.ok() ? *owner != repository_id + "\n" : has_images) {
    return Error(
        absl::StatusCode::kFailedPrecondition, "BLOB_DIR_MISMATCH",
        absl::StrCat("The blob folder ", folder, " does not hold the images of this database (repository ",
                     repository_id, "). Give the folder and the database that belong together."));
  }
  if (!owner.ok()) RETURN_IF_ERROR(WriteFileAtomically(marker, repository_id + "\n"));
  return std::unique_ptr<FileBlobStore>(new FileBlobStore(folder));
}

std::string FileBlobStore::UploadPath(absl::string_view manufacturer, absl::string_view sha256) const {
  return absl::StrCat(folder_, "/uploads/", manufacturer, ".", sha256);
}

std::string FileBlobStore::ImagePath(absl::string_view sha256) const {
  return absl::StrCat(folder_, "/images/", sha256.substr(0, 2), "/", sha256);
}

absl::StatusOr<std::unique_ptr<BlobStore::Writer>> FileBlobStore::OpenUpload(absl::string_view manufacturer,
                                                                             absl::string_view sha256,
                                                                             int64_t length, bool take_over) {
  const std::string path = UploadPath(manufacturer, sha256);
  std::shared_ptr<Part> part;
  bool is_new = false;
  {
    absl::MutexLock lock(&mutex_);
    if (const auto found = parts_.find(path); found != parts_.end()) part = found->second.lock();
    if (part != nullptr && !take_over) return UploadBusy();
    if (part == nullptr) {
      const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640);
      if (fd < 0) return SystemError("open", path);
      part = std::make_shared<Part>(path, ImagePath(sha256), std::string(sha256), fd);
      if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK) return UploadBusy();
        return SystemError("lock", path);
      }
      // Whoever had the lock before may have finished the upload and removed the file that we opened.
      struct stat opened, named;
      if (fstat(fd, &opened) != 0 || stat(path.c_str(), &named) != 0 || opened.st_ino != named.st_ino)
        return UploadBusy();
      std::erase_if(parts_, [](const auto& entry) { return entry.second.expired(); });
      parts_[path] = part;
      is_new = true;
    }
  }
  // Reading may take long: not under the lock of all uploads. Who takes over in the meantime waits here.
  absl::MutexLock lock(&part->mutex);
  const uint64_t generation = ++part->generation;
  auto writer = std::make_unique<FileWriter>(part, length, generation);
  struct stat status;
  if (fstat(part->fd.get(), &status) != 0) return SystemError("look at", path);
  if (status.st_size > length) {
    RETURN_IF_ERROR(part->Truncate());
  } else if (is_new) {
    RETURN_IF_ERROR(part->Rehash(status.st_size));
  }
  return writer;
}

int64_t FileBlobStore::FileWriter::size() const {
  absl::MutexLock lock(&part_->mutex);
  return part_->size;
}

absl::Status FileBlobStore::FileWriter::Append(int64_t offset, absl::string_view data) {
  absl::MutexLock lock(&part_->mutex);
  RETURN_IF_ERROR(part_->CheckHolder(generation_));
  RETURN_IF_ERROR(CheckChunk(part_->size, length_, offset, data.size()));
  while (!data.empty()) {
    const ssize_t count = pwrite(part_->fd.get(), data.data(), data.size(), part_->size);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return SystemError("write", part_->path);
    part_->digest.Update(data.substr(0, count));
    part_->size += count;
    data.remove_prefix(count);
  }
  if (part_->size - part_->written_back >= kWritebackBytes) {
    sync_file_range(part_->fd.get(), part_->written_back, part_->size - part_->written_back,
                    SYNC_FILE_RANGE_WRITE);
    part_->written_back = part_->size;
  }
  return absl::OkStatus();
}

absl::StatusOr<int64_t> FileBlobStore::FileWriter::Sync() {
  const int64_t written = size();
  if (fdatasync(part_->fd.get()) != 0) return SystemError("sync", part_->path);
  return written;
}

absl::Status FileBlobStore::FileWriter::Verify() {
  absl::MutexLock lock(&part_->mutex);
  RETURN_IF_ERROR(part_->CheckHolder(generation_));
  if (part_->size != length_)
    return absl::InternalError("an upload was to be verified before it was complete");
  if (part_->verified) return absl::OkStatus();
  if (fdatasync(part_->fd.get()) != 0) return SystemError("sync", part_->path);
  const int64_t size = part_->size;
  const std::string found = part_->digest.FinishHex();
  if (found == part_->sha256) {
    part_->verified = true;
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(part_->Truncate());
  return DigestMismatch(size, found, part_->sha256);
}

absl::Status FileBlobStore::FileWriter::Publish(bool replace) {
  absl::MutexLock lock(&part_->mutex);
  RETURN_IF_ERROR(part_->CheckHolder(generation_));
  const std::string& image = part_->image_path;
  if (replace) {
    // The upload keeps its name until the image is recorded, so that a crash here loses nothing.
    const std::string repaired = absl::StrCat(image, ".repaired");
    RETURN_IF_ERROR(RemoveFile(repaired));
    if (link(part_->path.c_str(), repaired.c_str()) != 0) return SystemError("link", repaired);
    if (rename(repaired.c_str(), image.c_str()) != 0) return SystemError("rename", repaired);
    // To rename a file to another name of itself does nothing.
    unlink(repaired.c_str());
  } else if (link(part_->path.c_str(), image.c_str()) != 0 && errno != EEXIST) {
    return SystemError("link", image);
  }
  return SyncDirectory(image.substr(0, image.rfind('/')));
}

void FileBlobStore::FileWriter::Discard() {
  absl::MutexLock lock(&part_->mutex);
  if (part_->generation == generation_) unlink(part_->path.c_str());
}

absl::StatusOr<int64_t> FileBlobStore::CommittedBytes(absl::string_view manufacturer,
                                                      absl::string_view sha256) {
  const std::string path = UploadPath(manufacturer, sha256);
  const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) {
    if (errno == ENOENT) return 0;
    return SystemError("open", path);
  }
  struct stat status;
  // First the length, then the sync: what is counted is on disk.
  if (fstat(fd.get(), &status) != 0) return SystemError("look at", path);
  if (fdatasync(fd.get()) != 0) return SystemError("sync", path);
  return status.st_size;
}

absl::Status FileBlobStore::RemoveUpload(absl::string_view manufacturer, absl::string_view sha256) {
  const std::string path = UploadPath(manufacturer, sha256);
  absl::MutexLock lock(&mutex_);
  if (const auto found = parts_.find(path); found != parts_.end()) {
    if (!found->second.expired()) return UploadBusy();
    parts_.erase(found);
  }
  const Fd fd(open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (fd.get() < 0) {
    if (errno == ENOENT) return absl::OkStatus();
    return SystemError("open", path);
  }
  if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) return UploadBusy();
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return SystemError("remove", path);
  return absl::OkStatus();
}

absl::Status FileBlobStore::FileReader::Read(int64_t offset, char* buffer, size_t size) {
  return ReadAt(fd_.get(), "a blob", offset, buffer, size);
}

absl::StatusOr<std::unique_ptr<BlobStore::Reader>> FileBlobStore::OpenImage(absl::string_view sha256,
                                                                            Purpose purpose) {
  return OpenFile(ImagePath(sha256), purpose);
}

absl::StatusOr<std::unique_ptr<BlobStore::Reader>> FileBlobStore::OpenFile(const std::string& path,
                                                                           Purpose purpose) {
  Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) {
    if (errno == ENOENT) return absl::NotFoundError(absl::StrCat(path, " is missing"));
    return SystemError("open", path);
  }
  struct stat status;
  if (fstat(fd.get(), &status) != 0) return SystemError("look at", path);
  if (purpose == Purpose::kScrub) posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED);
  posix_fadvise(fd.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
  return std::make_unique<FileReader>(std::move(fd), status.st_size);
}

absl::StatusOr<std::string> FileBlobStore::DownloadUrl(absl::string_view, absl::Time, absl::Duration) {
  return Error(absl::StatusCode::kFailedPrecondition, "NO_BUCKET",
               "This store keeps its images in a file system, which has no URLs; use DownloadImage.");
}

absl::StatusOr<std::vector<std::pair<std::string, std::string>>> FileBlobStore::UploadsBefore(
    absl::Time before) {
  const std::string folder = absl::StrCat(folder_, "/uploads");
  ASSIGN_OR_RETURN(const std::vector<std::string> names, List(folder));
  std::vector<std::pair<std::string, std::string>> uploads;
  for (const std::string& name : names) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(name, absl::MaxSplits('.', 1));
    struct stat status;
    if (!crypto::IsSha256Hex(parts.second) || stat(absl::StrCat(folder, "/", name).c_str(), &status) != 0)
      continue;
    if (absl::TimeFromTimespec(status.st_mtim) < before) {
      uploads.emplace_back(std::string(parts.first), std::string(parts.second));
    }
  }
  return uploads;
}

absl::Status FileBlobStore::ForEachImageBefore(absl::Time before,
                                               absl::FunctionRef<absl::Status(const std::string&)> visit) {
  const std::string folder = absl::StrCat(folder_, "/images");
  ASSIGN_OR_RETURN(const std::vector<std::string> shards, List(folder));
  for (const std::string& shard : shards) {
    ASSIGN_OR_RETURN(const std::vector<std::string> names, List(absl::StrCat(folder, "/", shard)));
    for (const std::string& name : names) {
      struct stat status;
      if (!crypto::IsSha256Hex(name) || stat(ImagePath(name).c_str(), &status) != 0) continue;
      // A link changes the inode's time, not the content's.
      if (absl::TimeFromTimespec(status.st_ctim) < before) RETURN_IF_ERROR(visit(name));
    }
  }
  return absl::OkStatus();
}

absl::Status FileBlobStore::RemoveLeftovers(absl::Time before) {
  // What else a crash can leave has the name of an upload, or goes with the next repair of the same image.
  ASSIGN_OR_RETURN(const std::vector<std::string> files, DeltaFilesBefore(before));
  for (const std::string& file : files) {
    if (absl::EndsWith(file, kPartial)) RETURN_IF_ERROR(RemoveFile(DeltaPath(file)));
  }
  return absl::OkStatus();
}

absl::Status FileBlobStore::RemoveOrphan(absl::string_view sha256) { return RemoveFile(ImagePath(sha256)); }

std::string FileBlobStore::DeltaPath(absl::string_view name) const {
  return absl::StrCat(folder_, "/deltas/", name);
}

absl::Status FileBlobStore::PutDelta(absl::string_view name, int descriptor, int64_t length_bytes) {
  const std::string path = DeltaPath(name), partial = absl::StrCat(path, kPartial);
  const Fd fd(open(partial.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640));
  if (fd.get() < 0) return SystemError("open", partial);
  std::string buffer(kReadBytes, '\0');
  for (int64_t offset = 0; offset < length_bytes;) {
    absl::string_view chunk(buffer.data(), std::min<int64_t>(buffer.size(), length_bytes - offset));
    RETURN_IF_ERROR(ReadAt(descriptor, "a delta", offset, buffer.data(), chunk.size()));
    offset += chunk.size();
    while (!chunk.empty()) {
      const ssize_t count = write(fd.get(), chunk.data(), chunk.size());
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return SystemError("write", partial);
      chunk.remove_prefix(count);
    }
  }
  if (fdatasync(fd.get()) != 0) return SystemError("sync", partial);
  if (rename(partial.c_str(), path.c_str()) != 0) return SystemError("rename", partial);
  return SyncDirectory(absl::StrCat(folder_, "/deltas"));
}

absl::StatusOr<std::unique_ptr<BlobStore::Reader>> FileBlobStore::OpenDelta(absl::string_view name) {
  return OpenFile(DeltaPath(name), Purpose::kServe);
}

absl::Status FileBlobStore::RemoveDelta(absl::string_view name) { return RemoveFile(DeltaPath(name)); }

absl::StatusOr<std::vector<std::string>> FileBlobStore::DeltaFilesBefore(absl::Time before) const {
  ASSIGN_OR_RETURN(std::vector<std::string> names, List(absl::StrCat(folder_, "/deltas")));
  std::erase_if(names, [&](const std::string& name) {
    struct stat status;
    return stat(DeltaPath(name).c_str(), &status) != 0 || absl::TimeFromTimespec(status.st_mtim) >= before;
  });
  return names;
}

absl::Status FileBlobStore::ForEachDeltaBefore(absl::Time before,
                                               absl::FunctionRef<absl::Status(const std::string&)> visit) {
  ASSIGN_OR_RETURN(const std::vector<std::string> files, DeltaFilesBefore(before));
  for (const std::string& file : files) {
    if (!absl::EndsWith(file, kPartial)) RETURN_IF_ERROR(visit(file));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> FileBlobStore::ReadRecord(absl::string_view name) {
  constexpr int64_t kMaxRecord = 64 << 10;
  return ReadFile(absl::StrCat(folder_, "/records/", name), kMaxRecord);
}

absl::Status FileBlobStore::WriteRecord(absl::string_view name, absl::string_view bytes) {
  return WriteFileAtomically(absl::StrCat(folder_, "/records/", name), bytes);
}

}  // namespace countersign::package_store
