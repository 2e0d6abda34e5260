// The transparency log as plain files (https://c2sp.org/tlog-tiles), beside the repository.
#ifndef COUNTERSIGN_TOOLS_CTL_EXPORT_LOG_H_
#define COUNTERSIGN_TOOLS_CTL_EXPORT_LOG_H_

#include <functional>
#include <map>
#include <set>
#include <string>

#include "absl/status/statusor.h"
#include "common/tlog/note.h"
#include "tools/ctl/export_folder.h"

namespace countersign::ctl {

// Where the log comes from. Not trusted.
struct LogFiles {
  // A file of the log: "checkpoint", "tile/0/000.p/5"; NOT_FOUND if there is none.
  std::function<absl::StatusOr<std::string>(const std::string& path)> file;
  // The offline proof that a package's approval is in the log; NOT_FOUND if there is none.
  std::function<absl::StatusOr<std::string>(const std::string& target_path)> proof;
};

struct LogReport {
  int written = 0;  // files
  // All files of the newest head, by path in the folder.
  std::set<std::string> in_force;
};

// Writes the log as it is at its newest head, as far as it is not there: log/tile/..., then log/checkpoint;
// and proofs/<target path>.tlog-proof for each of `packages` (digest by target path) that has one. Every file
// is verified against the head, the head against `key` and against the one that the folder has. With `reread`
// what is there is not believed either. Errors of common/tlog: LOG_INCONSISTENT if the log is no continuation
// of what was exported, which then stays; nothing is written if the log has no head yet.
absl::StatusOr<LogReport> ExportLog(const LogFiles& source, ExportFolder& folder,
                                    const tlog::VerifierKey& key,
                                    const std::map<std::string, std::string>& packages, bool reread);

}  // namespace countersign::ctl

#endif  // COUNTERSIGN_TOOLS_CTL_EXPORT_LOG_H_
