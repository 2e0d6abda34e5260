#include "services/package_store/storage/publications.h"

#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/crypto/hex.h"
#include "common/db/sql.h"
#include "common/log/log.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/trust/parties.h"
#include "common/trust/verify.h"
#include "services/package_store/domain/proposal_rules.h"
#include "services/package_store/storage/package_rows.h"

namespace countersign::package_store {
namespace {

constexpr char kGetFile[] = "SELECT content FROM metadata_files WHERE file_name = $1";
constexpr char kOnlineExpiries[] =
    "SELECT role, expires_at FROM roles WHERE role IN ('snapshot', 'timestamp')";
constexpr char kExpiries[] = R"(
  SELECT CASE WHEN role IN ('root', 'targets', 'snapshot', 'timestamp') THEN role
              WHEN role LIKE '%-pending' THEN 'pending' ELSE 'delegated' END, min(expires_at)
  FROM roles GROUP BY 1)";
constexpr char kManufacturersWithPackages[] = "SELECT DISTINCT manufacturer FROM packages";
constexpr char kDropPending[] = "DELETE FROM pending_targets WHERE manufacturer = $1";
constexpr char kManufacturersWithPending[] = "SELECT DISTINCT manufacturer FROM pending_targets";
constexpr char kStorePending[] =
    "INSERT INTO pending_targets (target_path, manufacturer, sha256) VALUES ($1, $2, $3)";
// A snapshot is of use until the last timestamp that names it expires, at the latest `lifetime` after the
// next snapshot came.
constexpr char kDeleteOldSnapshots[] = R"(
  DELETE FROM metadata_files AS old USING metadata_files AS next
  WHERE old.role = 'snapshot' AND next.role = 'snapshot' AND next.version = old.version + 1
    AND next.published_at < $1)";

// What no schedule reaches in a thousand years: a version beyond it was driven up.
constexpr int64_t kHighestHonestVersion = int64_t{1} << 30;

// Whether the role in force still holds under `delegations`.
bool StillVouchedFor(const trust::Delegations& delegations, const std::string& name,
                     const std::optional<RoleFile>& file) {
  const trust::Delegation* role = delegations.Find(name);
  if (role == nullptr || !file) return false;
  const absl::StatusOr<trust::Envelope> envelope = trust::Envelope::Parse(file->content);
  return envelope.ok() && trust::VerifyThreshold(*envelope, delegations.keys, role->keys).ok();
}

// The keys of a top-level role that have signed its file.
std::vector<std::string> SignersOf(const trust::Root& root, absl::string_view role,
                                   const std::string& bytes) {
  std::vector<std::string> signers;
  const auto keys = root.roles.find(std::string(role));
  const absl::StatusOr<trust::Envelope> envelope = trust::Envelope::Parse(bytes);
  if (keys == root.roles.end() || !envelope.ok()) return signers;
  for (const std::string& id : keys->second.key_ids) {
    const auto key = root.keys.find(id);
    if (key != root.keys.end() && envelope->VerifyBy(id, key->second).ok()) signers.push_back(id);
  }
  return signers;
}

// New ones of snapshot and timestamp if those in force do not hold under `root`.
absl::Status ReplaceWhatFell(db::Transaction& tx, const trust::Root& root, const OnlineSigning& signing,
                             const RoleFile& snapshot, const RoleFile& timestamp, absl::Time now) {
  const bool snapshot_holds = IsVouchedFor(root, kSnapshotRole, snapshot.content);
  const bool timestamp_holds = IsVouchedFor(root, kTimestampRole, timestamp.content);
  if (snapshot_holds && timestamp_holds) return absl::OkStatus();
  // Fast-forward recovery (TUF 5.3.11): clients forget the versions that rotated keys have signed. Ours go on
  // all the same, since caches may keep a snapshot's file for ever, unless there would be no next one.
  if (!snapshot_holds && !timestamp_holds &&
      (snapshot.version > kHighestHonestVersion || timestamp.version > kHighestHonestVersion)) {
    ForgetOnlineVersions(tx);
  }
  return StoreSnapshot(tx, root, signing, now);
}

absl::Status WithdrawPackages(db::Transaction& tx, const trust::Delegations& delegations,
                              const Ending& ending, const EncodePackage& encode) {
  for (const pqxx::row& row : tx.exec(kManufacturersWithPackages)) {
    const std::string manufacturer = db::TextOf(row[0]);
    if (StillVouchedFor(delegations, manufacturer, LoadRole(tx, manufacturer))) continue;
    ASSIGN_OR_RETURN(const int withdrawn, EndPackagesExcept(tx, manufacturer, {}, ending, encode));
    log::Warn("packages withdrawn: the new targets do not vouch for the manufacturer's role",
              {{"manufacturer", manufacturer}, {"packages", withdrawn}});
  }
  for (const pqxx::row& row : tx.exec(kManufacturersWithPending)) {
    const std::string manufacturer = db::TextOf(row[0]);
    const std::string role = trust::PendingRole(manufacturer);
    if (!StillVouchedFor(delegations, role, LoadRole(tx, role))) tx.exec_params(kDropPending, manufacturer);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> Publications::GetFile(const std::string& file_name) {
  return database_.Read("GetMetadata", [&](db::Reader& reader) -> absl::StatusOr<std::string> {
    const pqxx::result rows = db::ExecPrepared(reader, "package_store_get_file", kGetFile, file_name);
    if (rows.empty()) {
      return Error(absl::StatusCode::kNotFound, "METADATA_NOT_FOUND",
                   absl::StrCat("The repository has no file ", file_name, "."));
    }
    return db::BytesOf(rows[0][0]);
  });
}

absl::StatusOr<MetadataFile> Publications::PublishRoot(const std::string& bytes, absl::Time now) {
  absl::StatusOr<MetadataFile> published =
      database_.RunInTransaction("PublishRoot", [&](db::Transaction& tx) -> absl::StatusOr<MetadataFile> {
        LockRepository(tx, RepositoryLock::kExclusive);
        const std::optional<RoleFile> in_force = LoadRole(tx, kRootRole);
        std::optional<trust::Root> current;
        if (in_force) {
          if (in_force->content == bytes)
            return MetadataFile{trust::MetadataFilename(kRootRole, in_force->version), bytes};
          ASSIGN_OR_RETURN(current, LoadRoot(tx));
        }
        ASSIGN_OR_RETURN(const trust::Root root,
                         CheckRoot(current ? &*current : nullptr, bytes, signing_.keys, now));
        MetadataFile file = StoreRole(tx, kRootRole, root.version, bytes, root.expires, now);
        const std::optional<RoleFile> snapshot = LoadRole(tx, kSnapshotRole);
        const std::optional<RoleFile> timestamp = LoadRole(tx, kTimestampRole);
        if (snapshot && timestamp)
          RETURN_IF_ERROR(ReplaceWhatFell(tx, root, signing_, *snapshot, *timestamp, now));
        AppendLogEntry(tx,
                       FileEntry(tlog::kRootPublished, kRootRole, root.version, bytes,
                                 SignersOf(root, kRootRole, bytes)),
                       now);
        RETURN_IF_ERROR(log_.SignHead(tx, root, now));
        return file;
      });
  if (published.ok()) log_.KeepHead();
  return published;
}

absl::StatusOr<MetadataFile> Publications::PublishTargets(const std::string& bytes,
                                                          const std::string& published_by, absl::Time now) {
  absl::StatusOr<MetadataFile> published =
      database_.RunInTransaction("PublishTargets", [&](db::Transaction& tx) -> absl::StatusOr<MetadataFile> {
        LockRepository(tx, RepositoryLock::kExclusive);
        ASSIGN_OR_RETURN(const trust::Root root, LoadRoot(tx));
        const std::optional<RoleFile> in_force = LoadRole(tx, kTargetsRole);
        if (in_force && in_force->content == bytes) {
          return MetadataFile{trust::MetadataFilename(kTargetsRole, in_force->version), bytes};
        }
        ASSIGN_OR_RETURN(const std::optional<trust::Targets> current, LoadTopTargets(tx));
        ASSIGN_OR_RETURN(const trust::Targets targets,
                         CheckTopTargets(root, current ? &*current : nullptr, bytes, now));
        MetadataFile file = StoreRole(tx, kTargetsRole, targets.version, bytes, targets.expires, now);
        const tlog::LogEntry entry = FileEntry(tlog::kTargetsPublished, kTargetsRole, targets.version, bytes,
                                               SignersOf(root, kTargetsRole, bytes));
        AppendLogEntry(tx, entry, now);
        RETURN_IF_ERROR(WithdrawPackages(
            tx, targets.delegations.value_or(trust::Delegations()),
            {.identity = published_by,
             .cause = entry,
             .reason = absl::StrCat("Version ", targets.version,
                                    " of the top-level targets does not vouch for the keys of "
                                    "its manufacturer's role."),
             .time = now},
            encode_package_));
        RETURN_IF_ERROR(StoreSnapshot(tx, root, signing_, now));
        RETURN_IF_ERROR(log_.SignHead(tx, root, now));
        return file;
      });
  if (published.ok()) log_.KeepHead();
  return published;
}

absl::StatusOr<MetadataFile> Publications::PublishPending(const std::string& manufacturer,
                                                          const std::string& bytes, absl::Time now) {
  ASSIGN_OR_RETURN(const ParsedProposal parsed, ParseProposal(bytes));
  const std::string role = trust::PendingRole(manufacturer);
  absl::StatusOr<MetadataFile> published =
      database_.RunInTransaction("PublishPending", [&](db::Transaction& tx) -> absl::StatusOr<MetadataFile> {
        LockRepository(tx, RepositoryLock::kExclusive);
        ASSIGN_OR_RETURN(const trust::Root root, LoadRoot(tx));
        ASSIGN_OR_RETURN(const std::optional<trust::Targets> top, LoadTopTargets(tx));
        const trust::Delegations delegations =
            top ? top->delegations.value_or(trust::Delegations()) : trust::Delegations();
        const std::optional<RoleFile> file = LoadRole(tx, role);
        if (file && file->content == bytes)
          return MetadataFile{trust::MetadataFilename(role, file->version), bytes};
        RepositoryState state;
        state.delegations = &delegations;
        state.parties = top ? &top->parties : nullptr;
        std::optional<trust::Targets> in_force;
        if (file) {
          state.current_version = file->version;
          if (StillVouchedFor(delegations, role, file)) {
            ASSIGN_OR_RETURN(const trust::Envelope envelope, trust::Envelope::Parse(file->content));
            ASSIGN_OR_RETURN(in_force, trust::Targets::Parse(envelope));
            state.in_force = &*in_force;
          }
        }
        state.images = LoadImages(tx, manufacturer, parsed.targets);
        ASSIGN_OR_RETURN(std::vector<std::string> signers, ReviewPending(parsed, manufacturer, state, now));
        MetadataFile stored = StoreRole(tx, role, parsed.targets.version, bytes, parsed.targets.expires, now);
        AppendLogEntry(
            tx, FileEntry(tlog::kPendingPublished, role, parsed.targets.version, bytes, std::move(signers)),
            now);
        tx.exec_params(kDropPending, manufacturer);
        for (const auto& [path, target] : parsed.targets.targets) {
          tx.exec_params(kStorePending, path, manufacturer,
                         db::Bytes(crypto::HexDecode(target.sha256).value_or(std::string())));
        }
        RETURN_IF_ERROR(StoreSnapshot(tx, root, signing_, now));
        RETURN_IF_ERROR(log_.SignHead(tx, root, now));
        return stored;
      });
  if (published.ok()) log_.KeepHead();
  return published;
}

absl::StatusOr<Publications::Renewal> Publications::RenewIfDue(absl::Time now) {
  const auto due = [&](db::Session& session) {
    Renewal renewal = Renewal::kNotDue;
    for (const pqxx::row& row : session.exec(kOnlineExpiries)) {
      const absl::Time expires = db::TimeOf(row[1]);
      if (db::TextOf(row[0]) == kSnapshotRole) {
        if (OnlineLifetimes::IsDue(expires, signing_.lifetimes.snapshot, now))
          return Renewal::kSnapshotAndTimestamp;
      } else if (OnlineLifetimes::IsDue(expires, signing_.lifetimes.timestamp, now)) {
        renewal = Renewal::kTimestamp;
      }
    }
    return renewal;
  };
  // Without the lock first: most of the time there is nothing to do.
  ASSIGN_OR_RETURN(const Renewal seen,
                   database_.Read("RenewIfDue", [&](db::Reader& reader) -> absl::StatusOr<Renewal> {
                     return due(reader);
                   }));
  if (seen == Renewal::kNotDue) return seen;
  return database_.RunInTransaction("RenewIfDue", [&](db::Transaction& tx) -> absl::StatusOr<Renewal> {
    LockRepository(tx, RepositoryLock::kExclusive);
    const Renewal renewal = due(tx);
    if (renewal == Renewal::kNotDue) return renewal;
    ASSIGN_OR_RETURN(const trust::Root root, LoadRoot(tx));
    RETURN_IF_ERROR(renewal == Renewal::kTimestamp ? StoreTimestamp(tx, root, signing_, now)
                                                   : StoreSnapshot(tx, root, signing_, now));
    return renewal;
  });
}

absl::StatusOr<std::map<std::string, absl::Time>> Publications::Expiries() {
  return database_.Read("Expiries",
                        [&](db::Reader& reader) -> absl::StatusOr<std::map<std::string, absl::Time>> {
                          std::map<std::string, absl::Time> expiries;
                          for (const pqxx::row& row : reader.exec(kExpiries))
                            expiries[db::TextOf(row[0])] = db::TimeOf(row[1]);
                          return expiries;
                        });
}

absl::StatusOr<int64_t> Publications::DeleteOldSnapshots(absl::Time now) {
  return database_.RunInTransaction(
      "DeleteOldSnapshots", [&](db::Transaction& tx) -> absl::StatusOr<int64_t> {
        return tx.exec_params(kDeleteOldSnapshots, db::Timestamp(now - signing_.lifetimes.timestamp))
            .affected_rows();
      });
}

}  // namespace countersign::package_store
