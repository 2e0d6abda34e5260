// The folder that an export fills and a web server serves.
#ifndef COUNTERSIGN_TOOLS_CTL_EXPORT_FOLDER_H_
#define COUNTERSIGN_TOOLS_CTL_EXPORT_FOLDER_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/trust/metadata.h"

namespace countersign::ctl {

// Hands the bytes of something from `offset` on to `sink` in pieces; an error of the sink ends it and comes
// out of it.
using ByteSource =
    std::function<absl::Status(int64_t offset, const std::function<absl::Status(absl::string_view)>& sink)>;

// A folder with files that appear whole or not at all, also if the program is killed or the power fails: each
// is written below `.export`, synced, and renamed to its place. `.export` is ours and is not to be served.
// Paths are relative to the folder, and come from metadata that was verified. Not thread-safe.
class ExportFolder {
 public:
  // Makes the folder if need be and locks it. FAILED_PRECONDITION (EXPORT_RUNNING) if another export has it.
  static absl::StatusOr<ExportFolder> Open(const std::string& folder);
  ExportFolder(ExportFolder&& other) noexcept;
  ExportFolder(const ExportFolder&) = delete;
  ExportFolder& operator=(const ExportFolder&) = delete;
  ~ExportFolder();

  // Where the export keeps what it trusts.
  std::string TrustedFolder() const { return PrivatePath("trusted"); }

  // The file at `path`; nullopt if there is none.
  absl::StatusOr<std::optional<std::string>> Read(const std::string& path) const;

  // Whether there is a file at `path`.
  bool Has(const std::string& path) const;

  // Makes `path` hold `bytes`. False if it did already.
  absl::StatusOr<bool> Put(const std::string& path, absl::string_view bytes);

  // Whether the image is at `path`: of the right length, since nothing comes there that was not verified;
  // with `reread` its bytes are verified again.
  bool HasImage(const std::string& path, const trust::TargetFile& image, bool reread) const;

  // Fetches the image to `path`, from where an earlier attempt was cut, and verifies all of it before it
  // appears. DATA_LOSS (DIGEST_MISMATCH, LENGTH_MISMATCH) if it is not what was promised;
  // RESOURCE_EXHAUSTED (DISK_FULL).
  absl::Status FetchImage(const std::string& path, const trust::TargetFile& image, const ByteSource& source);

  // What the export before this one put in force; empty if there was none.
  absl::StatusOr<std::set<std::string>> InForce() const;
  absl::Status SetInForce(const std::set<std::string>& paths);

  // Removes versioned metadata, images and partial tiles of the log that are not in `keep`, but no root, and
  // nothing that is not of the form that an export writes; and what is left of transfers that were given up.
  // Returns how many files.
  absl::StatusOr<int> Prune(const std::set<std::string>& keep);

 private:
  ExportFolder(std::string folder, int lock) : folder_(std::move(folder)), lock_(lock) {}
  std::string PathOf(absl::string_view path) const;
  std::string PrivatePath(absl::string_view name) const;
  absl::Status MakeParents(const std::string& path) const;
  absl::Status Place(const std::string& from, const std::string& path) const;

  std::string folder_;
  int lock_;
};

}  // namespace countersign::ctl

#endif  // COUNTERSIGN_TOOLS_CTL_EXPORT_FOLDER_H_
