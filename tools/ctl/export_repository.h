// The image repository as plain files, for a web server or a CDN.
#ifndef COUNTERSIGN_TOOLS_CTL_EXPORT_REPOSITORY_H_
#define COUNTERSIGN_TOOLS_CTL_EXPORT_REPOSITORY_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/trust/client.h"

namespace countersign::ctl {

// Where the repository comes from. Not trusted: everything is verified before it is written.
class RepositorySource : public trust::Fetcher {
 public:
  // Hands the image with that digest from `offset` on to `sink`; an error of the sink comes out of it.
  virtual absl::Status Download(const std::string& sha256, int64_t offset, int64_t length,
                                const std::function<absl::Status(absl::string_view)>& sink) = 0;
  // See LogFiles.
  virtual absl::StatusOr<std::string> LogFile(const std::string& path) = 0;
  virtual absl::StatusOr<std::string> LogProof(const std::string& target_path) = 0;
};

struct ExportOptions {
  std::string folder;
  // A root that is trusted because somebody brought it. Empty: the one that the folder was begun with, or
  // what followed it.
  std::string root;
  bool prune = false;
  bool reread = false;  // read images that are there again, and verify them
  // Told how many of the bytes of missing images have come.
  std::function<void(int64_t done, int64_t total)> progress = [](int64_t, int64_t) {};
};

struct ExportReport {
  int64_t root_version = 0;
  int64_t snapshot_version = 0;
  int64_t timestamp_version = 0;
  int roles = 0;             // below the top-level targets
  int images = 0;            // that metadata in force names
  int metadata_written = 0;  // files
  int images_written = 0;
  int64_t bytes_written = 0;  // of images
  int log_written = 0;        // files of the log, and proofs
  int removed = 0;
  // Roles that are delegated and published, but not signed by who must sign; and why.
  std::vector<std::string> left_out;
};

// Writes what `source` has published to the folder, as far as it is not there:
//   metadata/N.root.json (all), N.targets.json, N.<role>.json, N.snapshot.json, timestamp.json
//   targets/<dir>/<sha256>.<name>
//   log/, proofs/: see ExportLog(), if the root names the log's key
// in the order that lets whoever is served from the folder at any moment see a whole repository: what
// something refers to is there before it. Errors of TUF's client workflow if the source is refused, of
// ExportLog(), ExportFolder, and of the source; what was in force then stays so. FAILED_PRECONDITION
// (ROOT_REQUIRED, ROOT_DIFFERS).
absl::StatusOr<ExportReport> ExportRepository(RepositorySource& source, const ExportOptions& options,
                                              absl::Time now);

}  // namespace countersign::ctl

#endif  // COUNTERSIGN_TOOLS_CTL_EXPORT_REPOSITORY_H_
