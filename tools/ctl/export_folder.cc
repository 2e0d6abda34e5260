#include "tools/ctl/export_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/crypto/digest.h"
#include "common/crypto/hex.h"
#include "common/file/file.h"
#include "common/status/errors.h"
#include "common/status/macros.h"

namespace countersign::ctl {
namespace {

namespace fs = std::filesystem;

constexpr char kPrivate[] = ".export";
constexpr int64_t kMaxListBytes = int64_t{1} << 30;

absl::Status SystemError(absl::string_view action, const std::string& path) {
  const std::string message = absl::StrCat("cannot ", action, " ", path, ": ", ::strerror(errno));
  if (errno == ENOSPC || errno == EDQUOT || errno == EFBIG)
    return Error(absl::StatusCode::kResourceExhausted, "DISK_FULL", message);
  return Error(absl::StatusCode::kFailedPrecondition, "WRITE_FAILED", message);
}

// A file that is written to its end.
class OpenFile {
 public:
  OpenFile(const std::string& path, int flags) : fd_(::open(path.c_str(), flags | O_CLOEXEC, 0644)) {}
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  ~OpenFile() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

// Adds what the file at `path` holds to `digest`; its length.
absl::StatusOr<int64_t> DigestFile(const std::string& path, crypto::Sha256Stream& digest) {
  OpenFile file(path, O_RDONLY);
  if (file.get() < 0) return SystemError("open", path);
  std::vector<char> buffer(1 << 20);
  int64_t length = 0;
  for (;;) {
    const ssize_t count = ::read(file.get(), buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return SystemError("read", path);
    if (count == 0) return length;
    digest.Update(absl::string_view(buffer.data(), static_cast<size_t>(count)));
    length += count;
  }
}

absl::Status WriteAll(int fd, absl::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return SystemError("write", path);
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

// "<number>.<role>.json", and not a root.
bool IsVersionedMetadata(const fs::path& path) {
  const std::string name = path.filename();
  const std::vector<absl::string_view> parts = absl::StrSplit(name, absl::MaxSplits('.', 1));
  return parts.size() == 2 && !parts[0].empty() &&
         absl::c_all_of(parts[0], [](char c) { return absl::ascii_isdigit(c); }) &&
         absl::EndsWith(parts[1], ".json") && parts[1] != "root.json";
}

// "<sha256>.<name>".
bool IsImage(const fs::path& path) {
  const std::string name = path.filename();
  return name.size() > 65 && name[64] == '.' && crypto::IsSha256Hex(name.substr(0, 64));
}

// "<index>.p/<width>".
bool IsPartialTile(const fs::path& path) { return path.parent_path().extension() == ".p"; }

}  // namespace

absl::StatusOr<ExportFolder> ExportFolder::Open(const std::string& folder) {
  RETURN_IF_ERROR(MakeDirectories(absl::StrCat(folder, "/", kPrivate, "/partial")));
  const std::string path = absl::StrCat(folder, "/", kPrivate, "/lock");
  const int lock = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (lock < 0) return SystemError("open", path);
  ExportFolder result(folder, lock);
  if (::flock(lock, LOCK_EX | LOCK_NB) != 0) {
    return Error(absl::StatusCode::kFailedPrecondition, "EXPORT_RUNNING",
                 absl::StrCat("another export is writing to ", folder));
  }
  return result;
}

ExportFolder::ExportFolder(ExportFolder&& other) noexcept
    : folder_(std::move(other.folder_)), lock_(std::exchange(other.lock_, -1)) {}

ExportFolder::~ExportFolder() {
  if (lock_ >= 0) ::close(lock_);
}

std::string ExportFolder::PathOf(absl::string_view path) const { return absl::StrCat(folder_, "/", path); }

std::string ExportFolder::PrivatePath(absl::string_view name) const {
  return absl::StrCat(folder_, "/", kPrivate, "/", name);
}

absl::Status ExportFolder::MakeParents(const std::string& path) const {
  std::string above = folder_;
  std::vector<std::string> parts = absl::StrSplit(path, '/');
  parts.pop_back();
  for (const std::string& part : parts) {
    const std::string folder = absl::StrCat(above, "/", part);
    if (::mkdir(folder.c_str(), 0755) == 0) {
      RETURN_IF_ERROR(SyncDirectory(above));
    } else if (errno != EEXIST) {
      return SystemError("make the folder", folder);
    }
    above = folder;
  }
  return absl::OkStatus();
}

absl::Status ExportFolder::Place(const std::string& from, const std::string& path) const {
  RETURN_IF_ERROR(MakeParents(path));
  const std::string to = PathOf(path);
  if (::rename(from.c_str(), to.c_str()) != 0) return SystemError("rename to", to);
  return SyncDirectory(fs::path(to).parent_path());
}

absl::StatusOr<std::optional<std::string>> ExportFolder::Read(const std::string& path) const {
  absl::StatusOr<std::string> bytes = ReadFile(PathOf(path));
  if (absl::IsNotFound(bytes.status())) return std::nullopt;
  RETURN_IF_ERROR(bytes.status());
  return *std::move(bytes);
}

bool ExportFolder::Has(const std::string& path) const {
  std::error_code error;
  return fs::is_regular_file(PathOf(path), error);
}

absl::StatusOr<bool> ExportFolder::Put(const std::string& path, absl::string_view bytes) {
  ASSIGN_OR_RETURN(const std::optional<std::string> before, Read(path));
  if (before == std::string(bytes)) return false;
  const std::string next = PrivatePath("next");
  {
    OpenFile file(next, O_WRONLY | O_CREAT | O_TRUNC);
    if (file.get() < 0) return SystemError("create", next);
    RETURN_IF_ERROR(WriteAll(file.get(), bytes, next));
    if (::fsync(file.get()) != 0) return SystemError("sync", next);
  }
  RETURN_IF_ERROR(Place(next, path));
  return true;
}

bool ExportFolder::HasImage(const std::string& path, const trust::TargetFile& image, bool reread) const {
  std::error_code error;
  const fs::path file = PathOf(path);
  if (!fs::is_regular_file(file, error) || static_cast<int64_t>(fs::file_size(file, error)) != image.length ||
      error) {
    return false;
  }
  if (!reread) return true;
  crypto::Sha256Stream digest;
  return DigestFile(file, digest).ok() && digest.FinishHex() == image.sha256;
}

absl::Status ExportFolder::FetchImage(const std::string& path, const trust::TargetFile& image,
                                      const ByteSource& source) {
  const std::string partial = PrivatePath(absl::StrCat("partial/", image.sha256));
  OpenFile file(partial, O_WRONLY | O_CREAT | O_APPEND);
  if (file.get() < 0) return SystemError("create", partial);
  crypto::Sha256Stream digest;
  ASSIGN_OR_RETURN(int64_t length, DigestFile(partial, digest));
  if (length < image.length) {
    RETURN_IF_ERROR(source(length, [&](absl::string_view bytes) -> absl::Status {
      length += static_cast<int64_t>(bytes.size());
      if (length > image.length) {
        ::unlink(partial.c_str());
        return Error(absl::StatusCode::kDataLoss, "LENGTH_MISMATCH",
                     absl::StrCat(path, " has more than the ", image.length, " bytes promised"));
      }
      digest.Update(bytes);
      return WriteAll(file.get(), bytes, partial);
    }));
  }
  // What is wrong is not gone on with: the next attempt begins anew.
  if (length != image.length) {
    ::unlink(partial.c_str());
    return Error(absl::StatusCode::kDataLoss, "LENGTH_MISMATCH",
                 absl::StrCat(path, " has ", length, " bytes, not the ", image.length, " promised"));
  }
  if (digest.FinishHex() != image.sha256) {
    ::unlink(partial.c_str());
    return Error(absl::StatusCode::kDataLoss, "DIGEST_MISMATCH",
                 absl::StrCat(path, ": the bytes that came are not those promised"));
  }
  if (::fsync(file.get()) != 0) return SystemError("sync", partial);
  return Place(partial, path);
}

absl::StatusOr<std::set<std::string>> ExportFolder::InForce() const {
  const absl::StatusOr<std::string> list = ReadFile(PrivatePath("in-force"), kMaxListBytes);
  if (absl::IsNotFound(list.status())) return std::set<std::string>();
  RETURN_IF_ERROR(list.status());
  return std::set<std::string>(absl::StrSplit(*list, '\n', absl::SkipEmpty()));
}

absl::Status ExportFolder::SetInForce(const std::set<std::string>& paths) {
  return Put(absl::StrCat(kPrivate, "/in-force"), absl::StrJoin(paths, "\n")).status();
}

absl::StatusOr<int> ExportFolder::Prune(const std::set<std::string>& keep) {
  int removed = 0;
  std::vector<fs::path> unwanted;
  std::error_code error;
  const struct {
    const char* top;
    bool (*is_ours)(const fs::path&);
  } kinds[] = {{"metadata", &IsVersionedMetadata}, {"targets", &IsImage}, {"log", &IsPartialTile}};
  for (const auto& [top, is_ours] : kinds) {
    for (fs::recursive_directory_iterator entry(PathOf(top), error), end; !error && entry != end;
         entry.increment(error)) {
      if (entry->is_regular_file(error) && is_ours(entry->path()) &&
          !keep.contains(entry->path().lexically_relative(folder_))) {
        unwanted.push_back(entry->path());
      }
    }
  }
  for (const fs::path& path : unwanted) {
    RETURN_IF_ERROR(RemoveFile(path));
    ++removed;
  }
  for (const fs::directory_entry& entry : fs::directory_iterator(PrivatePath("partial"), error)) {
    RETURN_IF_ERROR(RemoveFile(entry.path()));
  }
  return removed;
}

}  // namespace countersign::ctl
