#include "services/package_store/storage/repository_sql.h"

#include <map>
#include <set>
#include <vector>

#include "common/crypto/hex.h"
#include "common/db/sql.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/trust/envelope.h"

namespace countersign::package_store {
namespace {

constexpr char kLockShared[] = "SELECT 1 FROM repository FOR SHARE";
constexpr char kLockExclusive[] = "SELECT 1 FROM repository FOR UPDATE";

constexpr char kLoadRole[] = R"(
  SELECT roles.version, metadata_files.content, roles.expires_at
  FROM roles JOIN metadata_files USING (role, version)
  WHERE role = $1)";

// Only timestamp.json comes twice.
constexpr char kStoreFile[] = R"(
  INSERT INTO metadata_files (file_name, role, version, content, published_at) VALUES ($1, $2, $3, $4, $5)
  ON CONFLICT (file_name) DO UPDATE
    SET version = excluded.version, content = excluded.content, published_at = excluded.published_at
    WHERE metadata_files.role = 'timestamp')";

constexpr char kStoreRole[] = R"(
  INSERT INTO roles (role, version, expires_at) VALUES ($1, $2, $3)
  ON CONFLICT (role) DO UPDATE SET version = excluded.version, expires_at = excluded.expires_at)";

constexpr char kImagesOf[] = R"(
  SELECT encode(sha256, 'hex'), length_bytes FROM image_owners JOIN images USING (sha256)
  WHERE manufacturer = $1 AND sha256 = ANY ($2::bytea[]))";

constexpr char kForgetOnlineFiles[] = "DELETE FROM metadata_files WHERE role IN ('snapshot', 'timestamp')";
constexpr char kForgetOnlineRoles[] = "DELETE FROM roles WHERE role IN ('snapshot', 'timestamp')";

constexpr char kListRoles[] =
    "SELECT role, version FROM roles WHERE role NOT IN ('root', 'snapshot', 'timestamp')";

}  // namespace

void LockRepository(db::Transaction& tx, RepositoryLock lock) {
  tx.exec1(lock == RepositoryLock::kShared ? kLockShared : kLockExclusive);
}

std::optional<RoleFile> LoadRole(db::Session& session, absl::string_view role) {
  const pqxx::result rows = session.exec_params(kLoadRole, std::string(role));
  if (rows.empty()) return std::nullopt;
  return RoleFile{rows[0][0].as<int64_t>(), db::BytesOf(rows[0][1]), db::TimeOf(rows[0][2])};
}

absl::StatusOr<trust::Root> LoadRoot(db::Session& session) {
  const std::optional<RoleFile> file = LoadRole(session, kRootRole);
  if (!file) {
    return Error(absl::StatusCode::kFailedPrecondition, "NO_ROOT",
                 "The repository has no root metadata yet; publish version 1 with PublishRoot.");
  }
  ASSIGN_OR_RETURN(const trust::Envelope envelope, trust::Envelope::Parse(file->content));
  return trust::Root::Parse(envelope);
}

absl::StatusOr<std::optional<trust::Targets>> LoadTopTargets(db::Session& session) {
  const std::optional<RoleFile> file = LoadRole(session, kTargetsRole);
  if (!file) {
    RETURN_IF_ERROR(LoadRoot(session).status());
    return std::nullopt;
  }
  ASSIGN_OR_RETURN(const trust::Envelope envelope, trust::Envelope::Parse(file->content));
  return trust::Targets::Parse(envelope);
}

std::map<std::string, int64_t> LoadImages(db::Session& session, const std::string& manufacturer,
                                          const trust::Targets& targets) {
  std::set<std::string> digests;
  for (const auto& [path, target] : targets.targets)
    digests.insert(crypto::HexDecode(target.sha256).value_or(std::string()));
  const std::vector<std::string> listed(digests.begin(), digests.end());
  std::map<std::string, int64_t> images;
  for (const pqxx::row& row : session.exec_params(kImagesOf, manufacturer, db::BytesArray(listed)))
    images[db::TextOf(row[0])] = row[1].as<int64_t>();
  return images;
}

void ForgetOnlineVersions(db::Transaction& tx) {
  tx.exec(kForgetOnlineFiles);
  tx.exec(kForgetOnlineRoles);
}

MetadataFile StoreRole(db::Transaction& tx, absl::string_view role, int64_t version,
                       const std::string& content, absl::Time expires, absl::Time now) {
  MetadataFile file{role == kTimestampRole ? "timestamp.json" : trust::MetadataFilename(role, version),
                    content};
  const std::string role_name(role);
  tx.exec_params(kStoreFile, file.file_name, role_name, version, db::Bytes(content), db::Timestamp(now));
  tx.exec_params(kStoreRole, role_name, version, db::Timestamp(expires));
  return file;
}

absl::Status StoreSnapshot(db::Transaction& tx, const trust::Root& root, const OnlineSigning& signing,
                           absl::Time now) {
  RETURN_IF_ERROR(CheckOnlineKeys(root, signing.keys));
  std::map<std::string, int64_t> roles;
  for (const pqxx::row& row : tx.exec(kListRoles)) roles[db::TextOf(row[0])] = row[1].as<int64_t>();
  const std::optional<RoleFile> current = LoadRole(tx, kSnapshotRole);
  const int64_t version = current ? current->version + 1 : 1;
  const absl::Time expires = now + signing.lifetimes.snapshot;
  ASSIGN_OR_RETURN(const std::string bytes, SignSnapshot(roles, version, expires, *signing.keys.snapshot));
  StoreRole(tx, kSnapshotRole, version, bytes, expires, now);
  return StoreTimestamp(tx, root, signing, now);
}

absl::Status StoreTimestamp(db::Transaction& tx, const trust::Root& root, const OnlineSigning& signing,
                            absl::Time now) {
  RETURN_IF_ERROR(CheckOnlineKeys(root, signing.keys));
  const std::optional<RoleFile> snapshot = LoadRole(tx, kSnapshotRole);
  if (!snapshot) return absl::InternalError("a timestamp needs a snapshot");
  const std::optional<RoleFile> current = LoadRole(tx, kTimestampRole);
  const int64_t version = current ? current->version + 1 : 1;
  const absl::Time expires = now + signing.lifetimes.timestamp;
  ASSIGN_OR_RETURN(const std::string bytes, SignTimestamp(snapshot->version, snapshot->content, version,
                                                          expires, *signing.keys.timestamp));
  StoreRole(tx, kTimestampRole, version, bytes, expires, now);
  return absl::OkStatus();
}

}  // namespace countersign::package_store
