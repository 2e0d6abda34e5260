#include "tools/ctl/export_log.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/macros.h"
#include "common/tlog/checkpoint.h"
#include "common/tlog/entry.h"
#include "common/tlog/proof.h"
#include "common/tlog/reasons.h"
#include "common/tlog/tile.h"
#include "common/tlog/tile_reader.h"

namespace countersign::ctl {
namespace {

constexpr char kCheckpoint[] = "log/checkpoint";

std::string PathInFolder(const tlog::Tile& tile) { return absl::StrCat("log/", tlog::TilePath(tile)); }

class LogExport {
 public:
  LogExport(const LogFiles& source, ExportFolder& folder, const tlog::VerifierKey& key, bool reread)
      : source_(source), folder_(folder), key_(key), reread_(reread) {}

  absl::Status Run(const std::string& checkpoint);
  absl::Status PutProof(const std::string& target_path, const std::string& sha256);
  LogReport TakeReport() { return std::move(report_); }

 private:
  absl::StatusOr<std::string> Fetch(const std::string& path);
  absl::Status Put(const std::string& path, const std::string& bytes);
  absl::Status PutTile(tlog::TileReader& log, const tlog::Tile& tile);

  const LogFiles& source_;
  ExportFolder& folder_;
  const tlog::VerifierKey& key_;
  bool reread_;
  LogReport report_;
};

// Whatever the reader asks for it verifies: the folder saves the way to the store.
absl::StatusOr<std::string> LogExport::Fetch(const std::string& path) {
  if (!reread_) {
    ASSIGN_OR_RETURN(std::optional<std::string> there, folder_.Read(absl::StrCat("log/", path)));
    if (there.has_value()) return *std::move(there);
  }
  return source_.file(path);
}

absl::Status LogExport::Put(const std::string& path, const std::string& bytes) {
  ASSIGN_OR_RETURN(const bool written, folder_.Put(path, bytes));
  report_.written += written ? 1 : 0;
  report_.in_force.insert(path);
  return absl::OkStatus();
}

absl::Status LogExport::PutTile(tlog::TileReader& log, const tlog::Tile& tile) {
  const std::string path = PathInFolder(tile);
  report_.in_force.insert(path);
  if (!reread_ && folder_.Has(path)) return absl::OkStatus();
  std::string bytes;
  if (tile.level == tlog::Tile::kEntries) {
    ASSIGN_OR_RETURN(const std::vector<std::string> entries, log.Entries(tile.index));
    for (const std::string& entry : entries) tlog::AppendToBundle(entry, bytes);
  } else {
    for (int i = 0; i < tile.width; ++i) {
      ASSIGN_OR_RETURN(const tlog::Hash hash,
                       log.Read({tile.level * tlog::kTileHeight, tile.index * tlog::kTileWidth + i}));
      bytes += hash;
    }
  }
  return Put(path, bytes);
}

absl::Status LogExport::Run(const std::string& checkpoint) {
  ASSIGN_OR_RETURN(const tlog::Checkpoint head, tlog::OpenCheckpoint(checkpoint, key_));
  ASSIGN_OR_RETURN(const std::optional<std::string> exported, folder_.Read(kCheckpoint));
  std::optional<tlog::Checkpoint> before;
  if (exported.has_value()) {
    // With another key begins another log, and what the folder has is of the old one.
    absl::StatusOr<tlog::Checkpoint> opened = tlog::OpenCheckpoint(*exported, key_);
    if (opened.ok()) before = *std::move(opened);
    reread_ = reread_ || !before.has_value();
  }
  ASSIGN_OR_RETURN(tlog::TileReader log,
                   tlog::TileReader::Open([this](const std::string& path) { return Fetch(path); }, head));
  if (before.has_value()) RETURN_IF_ERROR(log.CheckExtends(*before));
  for (int level = tlog::Tile::kEntries; level <= tlog::kMaxTileLevel; ++level) {
    for (int64_t index = 0;; ++index) {
      const int width = tlog::WidthInTree(level, index, head.size);
      if (width > 0) RETURN_IF_ERROR(PutTile(log, {level, index, width}));
      if (width < tlog::kTileWidth) break;
    }
    if (tlog::WidthInTree(level, 0, head.size) == 0) break;
  }
  return Put(kCheckpoint, checkpoint);
}

absl::Status LogExport::PutProof(const std::string& target_path, const std::string& sha256) {
  const auto proves = [&](const std::string& bytes) -> absl::Status {
    ASSIGN_OR_RETURN(const tlog::OfflineProof proof, tlog::OfflineProof::Parse(bytes));
    RETURN_IF_ERROR(proof.Verify(proof.extra, key_).status());
    ASSIGN_OR_RETURN(const tlog::LogEntry entry, tlog::LogEntry::Parse(proof.extra));
    if (entry.kind == tlog::kPackageApproved && entry.target_path == target_path &&
        entry.image_sha256 == sha256) {
      return absl::OkStatus();
    }
    return tlog::Refuse(tlog::kProofInvalid,
                        absl::StrCat("the proof for ", target_path, " is about something else"));
  };
  const std::string path = absl::StrCat("proofs/", target_path, ".tlog-proof");
  ASSIGN_OR_RETURN(const std::optional<std::string> there, folder_.Read(path));
  if (there.has_value() && proves(*there).ok()) return absl::OkStatus();
  const absl::StatusOr<std::string> bytes = source_.proof(target_path);
  if (absl::IsNotFound(bytes.status())) return absl::OkStatus();
  RETURN_IF_ERROR(bytes.status());
  RETURN_IF_ERROR(proves(*bytes));
  return Put(path, *bytes);
}

}  // namespace

absl::StatusOr<LogReport> ExportLog(const LogFiles& source, ExportFolder& folder,
                                    const tlog::VerifierKey& key,
                                    const std::map<std::string, std::string>& packages, bool reread) {
  const absl::StatusOr<std::string> checkpoint = source.file(tlog::kCheckpointPath);
  if (absl::IsNotFound(checkpoint.status())) return LogReport();
  RETURN_IF_ERROR(checkpoint.status());
  LogExport log(source, folder, key, reread);
  RETURN_IF_ERROR(log.Run(*checkpoint));
  for (const auto& [target_path, sha256] : packages) RETURN_IF_ERROR(log.PutProof(target_path, sha256));
  return log.TakeReport();
}

}  // namespace countersign::ctl
