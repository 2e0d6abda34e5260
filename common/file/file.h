#ifndef COUNTERSIGN_COMMON_FILE_FILE_H_
#define COUNTERSIGN_COMMON_FILE_FILE_H_

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace countersign {

// No file that is read whole is expected to be larger.
inline constexpr int64_t kDefaultFileLimit = 16 << 20;

// The whole of the file at `path`. NOT_FOUND if there is none, RESOURCE_EXHAUSTED (FILE_TOO_LARGE) if it has
// more than `limit` bytes, INTERNAL with the system's message for anything else.
absl::StatusOr<std::string> ReadFile(const std::string& path, int64_t limit = kDefaultFileLimit);

// Makes the file at `path` hold exactly `bytes`, so that whoever reads it, also after a power cut at any
// moment, sees either the old bytes or the new: written to a temporary name beside it, synced, renamed,
// directory synced. The folder must exist. Several writers of one path may run at once; one of them wins.
absl::Status WriteFileAtomically(const std::string& path, absl::string_view bytes, mode_t mode = 0644);

// Removes the file at `path`, durably; OK if there is none.
absl::Status RemoveFile(const std::string& path);

// Makes the folder `path` and those above it, if need be.
absl::Status MakeDirectories(const std::string& path);

// Makes a rename or removal in the folder `path` survive a power cut.
absl::Status SyncDirectory(const std::string& path);

}  // namespace countersign

#endif  // COUNTERSIGN_COMMON_FILE_FILE_H_
