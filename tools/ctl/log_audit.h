// What others than the store can say about its transparency log (PLUS-3). Everything is read from where
// nobody is trusted; nothing is said before it is verified.
#ifndef COUNTERSIGN_TOOLS_CTL_LOG_AUDIT_H_
#define COUNTERSIGN_TOOLS_CTL_LOG_AUDIT_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/tlog/checkpoint.h"
#include "common/tlog/entry.h"
#include "common/tlog/note.h"
#include "common/tlog/tile_reader.h"
#include "common/trust/metadata.h"

namespace countersign::ctl {

// Files by name; NOT_FOUND.
using FetchFile = std::function<absl::StatusOr<std::string>(const std::string& name)>;

// The store, as an auditor sees it.
struct LogSource {
  FetchFile log;       // "checkpoint", "tile/..."
  FetchFile metadata;  // "3.acme.json"
};

// The log's key, as the root in force names it: follows the roots of `metadata` from `root`, which is
// trusted. FAILED_PRECONDITION (NO_LOG_KEY) if it names none; the errors of VerifyRootSuccession().
absl::StatusOr<tlog::VerifierKey> LogKeyOf(const std::string& root, const FetchFile& metadata);

// Opens the log at its head, which `key` signed and which continues `before`, if that is given. Errors as
// TileReader's: INVALID_ARGUMENT (LOG_INCONSISTENT) is the proof that the log cheats.
absl::StatusOr<tlog::TileReader> OpenLog(const LogSource& source, const tlog::VerifierKey& key,
                                         const std::optional<tlog::Checkpoint>& before);

// Something to tell about an entry, or without one about what should be in the log.
struct Finding {
  std::optional<int64_t> index;
  tlog::LogEntry entry;
  std::string what;
};

// A package as the store publishes it.
struct PublishedPackage {
  std::string sha256;
  int64_t role_version = 0;
};

struct LogReport {
  int64_t files_checked = 0;  // metadata files that the store serves and whose digest is the entry's
  int64_t files_gone = 0;
  std::vector<Finding> findings;
};
// Reads all entries, and compares them with the metadata that the store serves and with `packages`, by target
// path: all that it publishes, or those of one manufacturer if `manufacturer` is not empty.
absl::StatusOr<LogReport> AuditLog(tlog::TileReader& log, const LogSource& source,
                                   const std::map<std::string, PublishedPackage>& packages,
                                   absl::string_view manufacturer);

// The role metadata that a manufacturer made, by its own record.
class KnownRoles {
 public:
  // A file that it signed. INVALID_ARGUMENT (MALFORMED_METADATA) if it is no targets metadata.
  absl::Status Add(absl::string_view bytes);

  // The role that is signed in `published`, if it is one of those: whoever else has signed it.
  const trust::Targets* Find(const trust::Envelope& published) const;

  size_t size() const { return by_content_.size(); }

 private:
  std::map<std::string, trust::Targets> by_content_;  // by the bytes that are signed
};

// The entries from number `from` on that are about `manufacturer`, and that it has not made. Each says why.
absl::StatusOr<std::vector<Finding>> EntriesNotMade(tlog::TileReader& log, int64_t from,
                                                    absl::string_view manufacturer, const KnownRoles& known,
                                                    const LogSource& source);

}  // namespace countersign::ctl

#endif  // COUNTERSIGN_TOOLS_CTL_LOG_AUDIT_H_
