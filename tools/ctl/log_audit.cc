#include "tools/ctl/log_audit.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/crypto/digest.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/tlog/tile.h"
#include "common/trust/envelope.h"
#include "common/trust/verify.h"

namespace countersign::ctl {
namespace {

// Calls `visit` with each entry from number `from` on, read and verified.
absl::Status ForEachEntry(tlog::TileReader& log, int64_t from,
                          const std::function<absl::Status(int64_t, const std::string&)>& visit) {
  for (int64_t next = from; next < log.head().size;) {
    ASSIGN_OR_RETURN(const std::vector<std::string> leaves, log.Entries(next / tlog::kTileWidth));
    for (size_t i = next % tlog::kTileWidth; i < leaves.size(); ++i)
      RETURN_IF_ERROR(visit(next++, leaves[i]));
  }
  return absl::OkStatus();
}

// The metadata files that entries name, each fetched once.
class MetadataFiles {
 public:
  explicit MetadataFiles(const FetchFile& fetch) : fetch_(fetch) {}

  // The file that the entry is about; nullopt if the store does not serve it, DATA_LOSS if it serves another.
  absl::StatusOr<std::optional<std::string>> Of(const tlog::LogEntry& entry) {
    const std::string name = trust::MetadataFilename(entry.role, entry.role_version);
    if (name != name_) {
      const absl::StatusOr<std::string> bytes = fetch_(name);
      if (!bytes.ok() && !absl::IsNotFound(bytes.status())) return bytes.status();
      name_ = name;
      bytes_ = bytes.ok() ? std::make_optional(*bytes) : std::nullopt;
    }
    if (bytes_ && crypto::Sha256Hex(*bytes_) != entry.metadata_sha256) {
      return Error(absl::StatusCode::kDataLoss, "DIGEST_MISMATCH",
                   absl::StrCat("the store serves another ", name, " than the log has"));
    }
    return bytes_;
  }

 private:
  const FetchFile& fetch_;
  // Entries about one file stand together.
  std::string name_;
  std::optional<std::string> bytes_;
};

// Why the entry is not of `known`; "" if it is.
absl::StatusOr<std::string> WhyNotMade(const tlog::LogEntry& entry, const KnownRoles& known,
                                       MetadataFiles& files) {
  const absl::StatusOr<std::optional<std::string>> file = files.Of(entry);
  if (absl::IsDataLoss(file.status())) return std::string(file.status().message());
  RETURN_IF_ERROR(file.status());
  if (!*file) return "the store does not serve the metadata that it is about";
  const absl::StatusOr<trust::Envelope> envelope = trust::Envelope::Parse(**file);
  const trust::Targets* role = envelope.ok() ? known.Find(*envelope) : nullptr;
  if (role == nullptr) return "its metadata is none of the known files";
  if (entry.target_path.empty()) {
    const bool role_entry = entry.kind == tlog::kRolePublished || entry.kind == tlog::kPendingPublished;
    return role_entry ? "" : "it is of a kind that the manufacturer does not make";
  }
  const auto target = role->targets.find(entry.target_path);
  const bool listed = target != role->targets.end();
  if (entry.kind == tlog::kPackageApproved) {
    return listed && target->second.sha256 == entry.image_sha256
               ? ""
               : "the known metadata does not list that image";
  }
  if (entry.kind == tlog::kPackageWithdrawn) return listed ? "the known metadata still lists it" : "";
  return "it is of a kind that the manufacturer does not make";
}

}  // namespace

absl::StatusOr<tlog::VerifierKey> LogKeyOf(const std::string& root_bytes, const FetchFile& metadata) {
  ASSIGN_OR_RETURN(trust::Root root, trust::VerifyFirstRoot(root_bytes));
  while (true) {
    const absl::StatusOr<std::string> next = metadata(trust::MetadataFilename("root", root.version + 1));
    if (absl::IsNotFound(next.status())) break;
    RETURN_IF_ERROR(next.status());
    ASSIGN_OR_RETURN(root, trust::VerifyRootSuccession(root, *next));
  }
  if (root.log_key.empty()) {
    return Error(absl::StatusCode::kFailedPrecondition, "NO_LOG_KEY",
                 absl::StrCat("root ", root.version, " names no key of a transparency log"));
  }
  return tlog::VerifierKey::Parse(root.log_key);
}

absl::StatusOr<tlog::TileReader> OpenLog(const LogSource& source, const tlog::VerifierKey& key,
                                         const std::optional<tlog::Checkpoint>& before) {
  ASSIGN_OR_RETURN(const std::string bytes, source.log(tlog::kCheckpointPath));
  ASSIGN_OR_RETURN(tlog::Checkpoint head, tlog::OpenCheckpoint(bytes, key));
  ASSIGN_OR_RETURN(tlog::TileReader log, tlog::TileReader::Open(source.log, std::move(head)));
  if (before) RETURN_IF_ERROR(log.CheckExtends(*before));
  return log;
}

absl::StatusOr<LogReport> AuditLog(tlog::TileReader& log, const LogSource& source,
                                   const std::map<std::string, PublishedPackage>& packages,
                                   absl::string_view manufacturer) {
  LogReport report;
  MetadataFiles files(source.metadata);
  struct Approval {
    int64_t index;
    tlog::LogEntry entry;
  };
  std::map<std::string, Approval> approved;  // and neither withdrawn nor revoked, by target path
  RETURN_IF_ERROR(ForEachEntry(log, 0, [&](int64_t index, const std::string& leaf) -> absl::Status {
    absl::StatusOr<tlog::LogEntry> entry = tlog::LogEntry::Parse(leaf);
    if (!entry.ok()) {
      report.findings.push_back({index, {}, std::string(entry.status().message())});
      return absl::OkStatus();
    }
    const absl::StatusOr<std::optional<std::string>> file = files.Of(*entry);
    if (absl::IsDataLoss(file.status())) {
      report.findings.push_back({index, *entry, std::string(file.status().message())});
    } else {
      RETURN_IF_ERROR(file.status());
      ++(*file ? report.files_checked : report.files_gone);
    }
    if (entry->kind == tlog::kPackageApproved) {
      approved.insert_or_assign(entry->target_path, Approval{index, *entry});
    } else if (entry->kind == tlog::kPackageWithdrawn || entry->kind == tlog::kPackageRevoked) {
      approved.erase(entry->target_path);
    }
    return absl::OkStatus();
  }));
  for (const auto& [path, package] : packages) {
    const auto found = approved.find(path);
    if (found == approved.end()) {
      report.findings.push_back(
          {std::nullopt, {}, absl::StrCat(path, " is published, and the log has no entry of it")});
    } else if (found->second.entry.image_sha256 != package.sha256 ||
               found->second.entry.role_version != package.role_version) {
      report.findings.push_back(
          {found->second.index, found->second.entry, "another image or version is published"});
    }
  }
  for (const auto& [path, approval] : approved) {
    if (!manufacturer.empty() && approval.entry.Manufacturer() != manufacturer) continue;
    if (packages.count(path) == 0) {
      report.findings.push_back({approval.index, approval.entry, "it is approved, and not published"});
    }
  }
  return report;
}

absl::Status KnownRoles::Add(absl::string_view bytes) {
  ASSIGN_OR_RETURN(const trust::Envelope envelope, trust::Envelope::Parse(bytes));
  ASSIGN_OR_RETURN(trust::Targets role, trust::Targets::Parse(envelope));
  by_content_.insert_or_assign(envelope.canonical(), std::move(role));
  return absl::OkStatus();
}

const trust::Targets* KnownRoles::Find(const trust::Envelope& published) const {
  const auto found = by_content_.find(published.canonical());
  return found == by_content_.end() ? nullptr : &found->second;
}

absl::StatusOr<std::vector<Finding>> EntriesNotMade(tlog::TileReader& log, int64_t from,
                                                    absl::string_view manufacturer, const KnownRoles& known,
                                                    const LogSource& source) {
  std::vector<Finding> findings;
  MetadataFiles files(source.metadata);
  RETURN_IF_ERROR(ForEachEntry(log, from, [&](int64_t index, const std::string& leaf) -> absl::Status {
    const absl::StatusOr<tlog::LogEntry> entry = tlog::LogEntry::Parse(leaf);
    if (!entry.ok()) {
      // It might be about anybody.
      findings.push_back({index, {}, std::string(entry.status().message())});
      return absl::OkStatus();
    }
    if (entry->Manufacturer() != manufacturer) return absl::OkStatus();
    ASSIGN_OR_RETURN(const std::string why, WhyNotMade(*entry, known, files));
    if (!why.empty()) findings.push_back({index, *entry, why});
    return absl::OkStatus();
  }));
  return findings;
}

}  // namespace countersign::ctl
