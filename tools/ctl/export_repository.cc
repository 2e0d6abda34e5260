#include "tools/ctl/export_repository.h"

#include <map>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/file/file.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/trust/envelope.h"
#include "common/trust/metadata.h"
#include "common/trust/verify.h"
#include "tools/ctl/export_folder.h"
#include "tools/ctl/export_log.h"

namespace countersign::ctl {
namespace {

std::string MetadataPath(absl::string_view role, int64_t version) {
  return absl::StrCat("metadata/", trust::MetadataFilename(role, version));
}

// A root of the chain, and its bytes.
struct ChainedRoot {
  trust::Root root;
  std::string bytes;
};

class Export {
 public:
  Export(RepositorySource& source, const ExportOptions& options, ExportFolder folder,
         trust::DirectoryStore trusted, absl::Time now)
      : source_(source),
        options_(options),
        folder_(std::move(folder)),
        trusted_(std::move(trusted)),
        now_(now),
        client_(&source_, &trusted_, options.root) {}

  absl::StatusOr<ExportReport> Run();

 private:
  absl::Status CollectImages();
  absl::Status FetchImages();
  absl::Status PutLog();
  absl::StatusOr<std::string> Trusted(const std::string& role) const;
  absl::Status Put(const std::string& path, const std::string& bytes);
  absl::Status PutRole(const std::string& role, int64_t version);
  absl::StatusOr<ChainedRoot> LoadRoot(int64_t version, const trust::Root* before);
  absl::StatusOr<std::vector<ChainedRoot>> LoadRoots();
  absl::Status CheckRoot(const std::vector<ChainedRoot>& roots) const;
  absl::StatusOr<bool> ServedVerifiesUnder(const trust::Root& root) const;

  RepositorySource& source_;
  const ExportOptions& options_;
  ExportFolder folder_;
  trust::DirectoryStore trusted_;
  const absl::Time now_;
  trust::RepositoryClient client_;
  std::vector<trust::ReachedRole> roles_;
  std::map<std::string, trust::TargetFile> images_;  // by path in the folder
  std::set<std::string> in_force_;
  ExportReport report_;
};

// The root that was brought has to be one of those that lead to the newest.
absl::Status Export::CheckRoot(const std::vector<ChainedRoot>& roots) const {
  if (options_.root.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const trust::Envelope envelope, trust::Envelope::Parse(options_.root));
  ASSIGN_OR_RETURN(const trust::Root brought, trust::Root::Parse(envelope));
  if (brought.version > static_cast<int64_t>(roots.size())) {
    return Error(absl::StatusCode::kFailedPrecondition, "ROOT_DIFFERS",
                 absl::StrCat("The store's newest root has version ", roots.size(), ", the one given ",
                              brought.version, "."));
  }
  ASSIGN_OR_RETURN(const trust::Envelope published,
                   trust::Envelope::Parse(roots[static_cast<size_t>(brought.version) - 1].bytes));
  if (published.canonical() == envelope.canonical()) return absl::OkStatus();
  return Error(absl::StatusCode::kFailedPrecondition, "ROOT_DIFFERS",
               absl::StrCat("The folder trusts another root of version ", brought.version,
                            " than the one given: export to another folder."));
}

absl::Status Export::CollectImages() {
  const auto add = [this](const trust::Targets& targets) {
    for (const auto& [path, file] : targets.targets)
      images_.emplace(absl::StrCat("targets/", trust::TargetFilename(path, file.sha256)), file);
  };
  add(client_.targets());
  ASSIGN_OR_RETURN(std::vector<trust::ReachedRole> reached, client_.ReachedRoles());
  for (trust::ReachedRole& role : reached) {
    if (!role.targets.ok()) {
      report_.left_out.push_back(absl::StrCat(role.name, ": ", role.targets.status().message()));
      continue;
    }
    add(*role.targets);
    roles_.push_back(std::move(role));
  }
  return absl::OkStatus();
}

absl::Status Export::FetchImages() {
  std::vector<std::pair<std::string, trust::TargetFile>> missing;
  int64_t total = 0;
  for (const auto& [path, image] : images_) {
    in_force_.insert(path);
    if (folder_.HasImage(path, image, options_.reread)) continue;
    missing.emplace_back(path, image);
    total += image.length;
  }
  for (const auto& [path, image] : missing) {
    RETURN_IF_ERROR(Annotate(
        folder_.FetchImage(
            path, image,
            [&, this](int64_t offset, const std::function<absl::Status(absl::string_view)>& sink) {
              return source_.Download(image.sha256, offset, image.length, [&](absl::string_view bytes) {
                report_.bytes_written += static_cast<int64_t>(bytes.size());
                options_.progress(report_.bytes_written, total);
                return sink(bytes);
              });
            }),
        path));
    ++report_.images_written;
  }
  return absl::OkStatus();
}

absl::Status Export::PutLog() {
  if (client_.root().log_key.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const tlog::VerifierKey key, tlog::VerifierKey::Parse(client_.root().log_key));
  std::map<std::string, std::string> packages;
  for (const trust::ReachedRole& role : roles_) {
    for (const auto& [path, file] : role.targets->targets) {
      // What nobody approved has no approval to prove.
      if (!trust::IsPendingPath(path)) packages.emplace(path, file.sha256);
    }
  }
  const LogFiles files = {
      .file = [this](const std::string& path) { return source_.LogFile(path); },
      .proof = [this](const std::string& target_path) { return source_.LogProof(target_path); }};
  ASSIGN_OR_RETURN(LogReport log, ExportLog(files, folder_, key, packages, options_.reread));
  report_.log_written = log.written;
  in_force_.merge(log.in_force);
  return absl::OkStatus();
}

// Byte for byte as it was verified.
absl::StatusOr<std::string> Export::Trusted(const std::string& role) const {
  ASSIGN_OR_RETURN(std::optional<std::string> bytes, trusted_.Load(role));
  if (!bytes.has_value()) return absl::InternalError(absl::StrCat("verified metadata of ", role, " is gone"));
  return *std::move(bytes);
}

absl::Status Export::Put(const std::string& path, const std::string& bytes) {
  ASSIGN_OR_RETURN(const bool written, folder_.Put(path, bytes));
  report_.metadata_written += written ? 1 : 0;
  in_force_.insert(path);
  return absl::OkStatus();
}

absl::Status Export::PutRole(const std::string& role, int64_t version) {
  ASSIGN_OR_RETURN(const std::string bytes, Trusted(role));
  return Put(MetadataPath(role, version), bytes);
}

absl::StatusOr<ChainedRoot> Export::LoadRoot(int64_t version, const trust::Root* before) {
  const auto verified = [before](const std::string& bytes) {
    return before == nullptr ? trust::VerifyFirstRoot(bytes) : trust::VerifyRootSuccession(*before, bytes);
  };
  ASSIGN_OR_RETURN(std::optional<std::string> there, folder_.Read(MetadataPath("root", version)));
  if (there.has_value()) {
    if (absl::StatusOr<trust::Root> root = verified(*there); root.ok())
      return ChainedRoot{*std::move(root), *std::move(there)};
  }
  const std::string filename = trust::MetadataFilename("root", version);
  absl::StatusOr<std::string> bytes = source_.Fetch(filename, trust::ClientLimits().max_root_bytes);
  RETURN_IF_ERROR(Annotate(bytes.status(), filename));
  absl::StatusOr<trust::Root> root = verified(*bytes);
  RETURN_IF_ERROR(Annotate(root.status(), filename));
  return ChainedRoot{*std::move(root), *std::move(bytes)};
}

// All roots from the first on: a client may have been made with any of them.
absl::StatusOr<std::vector<ChainedRoot>> Export::LoadRoots() {
  ASSIGN_OR_RETURN(const std::string newest, Trusted("root"));
  std::vector<ChainedRoot> roots;
  for (int64_t version = 1; version <= client_.root().version; ++version) {
    ASSIGN_OR_RETURN(ChainedRoot next, LoadRoot(version, roots.empty() ? nullptr : &roots.back().root));
    roots.push_back(std::move(next));
  }
  if (roots.back().bytes != newest) {
    return Error(absl::StatusCode::kDataLoss, "ROOT_DIFFERS",
                 "The roots that the store has do not lead to the one that is trusted.");
  }
  return roots;
}

// Whether a client that has got as far as `root` believes what is served now.
absl::StatusOr<bool> Export::ServedVerifiesUnder(const trust::Root& root) const {
  const auto signed_by = [&root](const std::string& bytes, const char* role) {
    const absl::StatusOr<trust::Envelope> envelope = trust::Envelope::Parse(bytes);
    return envelope.ok() && trust::VerifyThreshold(*envelope, root.keys, root.roles.at(role)).ok();
  };
  ASSIGN_OR_RETURN(const std::optional<std::string> timestamp, folder_.Read("metadata/timestamp.json"));
  if (!timestamp.has_value()) return true;  // nobody can be served yet
  const absl::StatusOr<trust::Envelope> envelope = trust::Envelope::Parse(*timestamp);
  if (!envelope.ok()) return true;
  const absl::StatusOr<trust::Timestamp> parsed = trust::Timestamp::Parse(*envelope);
  if (!parsed.ok()) return true;
  ASSIGN_OR_RETURN(const std::optional<std::string> snapshot,
                   folder_.Read(MetadataPath("snapshot", parsed->snapshot.version)));
  if (!snapshot.has_value()) return true;
  const absl::StatusOr<trust::Envelope> snapshot_envelope = trust::Envelope::Parse(*snapshot);
  if (!snapshot_envelope.ok()) return true;
  const absl::StatusOr<trust::Snapshot> listed = trust::Snapshot::Parse(*snapshot_envelope);
  if (!listed.ok()) return true;
  ASSIGN_OR_RETURN(const std::optional<std::string> targets,
                   folder_.Read(MetadataPath("targets", listed->roles.at("targets").version)));
  return signed_by(*timestamp, "timestamp") && signed_by(*snapshot, "snapshot") && targets.has_value() &&
         signed_by(*targets, "targets");
}

absl::StatusOr<ExportReport> Export::Run() {
  ASSIGN_OR_RETURN(const std::optional<std::string> root, trusted_.Load("root"));
  if (!root.has_value() && options_.root.empty()) {
    return Error(absl::StatusCode::kFailedPrecondition, "ROOT_REQUIRED",
                 "This is the first export to this folder: give --root, with a root that you trust.");
  }
  RETURN_IF_ERROR(client_.Refresh(now_));
  RETURN_IF_ERROR(CollectImages());
  ASSIGN_OR_RETURN(const std::vector<ChainedRoot> roots, LoadRoots());
  RETURN_IF_ERROR(CheckRoot(roots));
  ASSIGN_OR_RETURN(const std::set<std::string> in_force_before, folder_.InForce());

  RETURN_IF_ERROR(FetchImages());
  RETURN_IF_ERROR(PutLog());
  for (const trust::ReachedRole& role : roles_) RETURN_IF_ERROR(PutRole(role.name, role.targets->version));
  RETURN_IF_ERROR(PutRole("targets", client_.targets().version));
  RETURN_IF_ERROR(PutRole("snapshot", client_.snapshot().version));
  // Clients go to the newest root first: those that still vouch for what is served now come before the new
  // timestamp, and those that vouch only for the new one after it.
  size_t next = 0;
  for (; next < roots.size(); ++next) {
    ASSIGN_OR_RETURN(const bool verifies, ServedVerifiesUnder(roots[next].root));
    const std::string path = MetadataPath("root", roots[next].root.version);
    ASSIGN_OR_RETURN(const std::optional<std::string> there, folder_.Read(path));
    if (!verifies && there != roots[next].bytes) break;
    RETURN_IF_ERROR(Put(path, roots[next].bytes));
  }
  ASSIGN_OR_RETURN(const std::string timestamp, Trusted("timestamp"));
  RETURN_IF_ERROR(Put("metadata/timestamp.json", timestamp));
  for (; next < roots.size(); ++next) {
    RETURN_IF_ERROR(Put(MetadataPath("root", roots[next].root.version), roots[next].bytes));
  }

  RETURN_IF_ERROR(folder_.SetInForce(in_force_));
  // Clients are in the middle of reading what was in force until now.
  if (options_.prune && report_.left_out.empty()) {
    std::set<std::string> keep = in_force_before;
    keep.insert(in_force_.begin(), in_force_.end());
    ASSIGN_OR_RETURN(report_.removed, folder_.Prune(keep));
  }
  report_.root_version = client_.root().version;
  report_.snapshot_version = client_.snapshot().version;
  report_.timestamp_version = client_.timestamp().version;
  report_.roles = static_cast<int>(roles_.size());
  report_.images = static_cast<int>(images_.size());
  return report_;
}

}  // namespace

absl::StatusOr<ExportReport> ExportRepository(RepositorySource& source, const ExportOptions& options,
                                              absl::Time now) {
  ASSIGN_OR_RETURN(ExportFolder folder, ExportFolder::Open(options.folder));
  ASSIGN_OR_RETURN(trust::DirectoryStore trusted, trust::DirectoryStore::Open(folder.TrustedFolder()));
  return Export(source, options, std::move(folder), std::move(trusted), now).Run();
}

}  // namespace countersign::ctl
