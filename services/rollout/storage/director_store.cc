#include "services/rollout/storage/director_store.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/db/sql.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/trust/envelope.h"
#include "nlohmann/json.hpp"

namespace countersign::rollout {
namespace {

constexpr char kLatestRoot[] = "SELECT version, content FROM director_roots ORDER BY version DESC LIMIT 1";
constexpr char kRootFile[] = "SELECT content FROM director_roots WHERE version = $1";
constexpr char kInsertRoot[] = R"sql(
  INSERT INTO director_roots (version, content, create_time)
  SELECT $1, $2, $3 WHERE $1 = (SELECT COALESCE(max(version), 0) + 1 FROM director_roots)
  ON CONFLICT DO NOTHING)sql";

constexpr char kStanding[] = R"sql(
  SELECT d.gateway IS NOT NULL AS known, COALESCE(d.revision <> d.signed_revision, false) AS changed,
         COALESCE(d.targets_version, 0) AS targets_version,
         EXISTS (SELECT 1 FROM assignments a WHERE a.gateway = $1 AND a.state = 2) AS prompts
  FROM (SELECT 1) one LEFT JOIN director_metadata d ON d.gateway = $1)sql";

constexpr char kLoad[] = R"sql(
  SELECT revision, signed_revision, signed_under, targets_version, snapshot_version, timestamp_version, targets,
         snapshot, timestamp, refresh_targets, refresh_timestamp,
         (SELECT COALESCE(max(version), 0) FROM director_roots) AS root_version
  FROM director_metadata WHERE gateway = $1)sql";

constexpr char kQuarantined[] = "SELECT ecu_serial FROM quarantined_components WHERE gateway = $1";

constexpr char kInsertGateway[] =
    "INSERT INTO director_metadata (gateway) VALUES ($1) ON CONFLICT DO NOTHING";

// The row's versions and revision are compared under its lock: of two signers one wins, the other loads
// again.
constexpr char kSave[] = R"sql(
  UPDATE director_metadata
  SET signed_revision = revision, signed_under = $2,
      previous_targets = CASE WHEN targets_version <> $3 THEN targets ELSE previous_targets END,
      previous_snapshot = CASE WHEN snapshot_version <> $4 THEN snapshot ELSE previous_snapshot END,
      targets_version = $3, snapshot_version = $4, timestamp_version = $5, targets = $6, snapshot = $7,
      timestamp = $8, refresh_targets = $9, refresh_timestamp = $10
  WHERE gateway = $1 AND revision = $11 AND targets_version = $12 AND snapshot_version = $13
    AND timestamp_version = $14)sql";

constexpr char kTargets[] = R"sql(
  SELECT CASE WHEN targets_version = $2 THEN targets WHEN targets_version = $2 + 1 THEN previous_targets END AS content
  FROM director_metadata WHERE gateway = $1)sql";
constexpr char kSnapshot[] = R"sql(
  SELECT CASE WHEN snapshot_version = $2 THEN snapshot WHEN snapshot_version = $2 + 1 THEN previous_snapshot END
           AS content
  FROM director_metadata WHERE gateway = $1)sql";

constexpr char kLoadRole[] = "SELECT content FROM image_repository_roles WHERE role = $1";
constexpr char kSaveRole[] = R"sql(
  INSERT INTO image_repository_roles (role, version, content) VALUES ($1, $2, $3)
  ON CONFLICT (role) DO UPDATE SET version = EXCLUDED.version, content = EXCLUDED.content
  WHERE image_repository_roles.version <= EXCLUDED.version)sql";
constexpr char kRemoveRole[] = "DELETE FROM image_repository_roles WHERE role = $1";

DirectorState StateOf(const pqxx::row& row) {
  DirectorState state;
  state.revision = row["revision"].as<int64_t>();
  state.signed_revision = row["signed_revision"].as<int64_t>();
  state.signed_under = db::TextOf(row["signed_under"]);
  state.root_version = row["root_version"].as<int64_t>();
  DirectorMetadata& metadata = state.metadata;
  metadata.versions = {row["targets_version"].as<int64_t>(), row["snapshot_version"].as<int64_t>(),
                       row["timestamp_version"].as<int64_t>()};
  metadata.targets = db::NullableBytesOf(row["targets"]).value_or("");
  metadata.snapshot = db::NullableBytesOf(row["snapshot"]).value_or("");
  metadata.timestamp = db::NullableBytesOf(row["timestamp"]).value_or("");
  metadata.refresh_targets = db::NullableTimeOf(row["refresh_targets"]).value_or(absl::InfinitePast());
  metadata.refresh_timestamp = db::NullableTimeOf(row["refresh_timestamp"]).value_or(absl::InfinitePast());
  return state;
}

using OptionalBytes = std::optional<std::string>;

absl::StatusOr<OptionalBytes> ReadContent(db::Database& database, absl::string_view name, const char* sql,
                                          const std::string& gateway, int64_t version) {
  return database.Read(name, [&](db::Reader& reader) -> absl::StatusOr<OptionalBytes> {
    const pqxx::result rows = db::ExecPrepared(reader, std::string(name), sql, gateway, version);
    if (rows.empty()) return OptionalBytes();
    return db::NullableBytesOf(rows[0]["content"]);
  });
}

}  // namespace

absl::StatusOr<std::optional<DirectorRoot>> DirectorStore::LatestRoot() {
  using Latest = std::optional<DirectorRoot>;
  return database_.Read("LatestRoot", [&](db::Reader& reader) -> absl::StatusOr<Latest> {
    const pqxx::result rows = db::ExecPrepared(reader, "latest_root", kLatestRoot);
    if (rows.empty()) return Latest();
    return Latest(DirectorRoot{rows[0]["version"].as<int64_t>(), db::BytesOf(rows[0]["content"])});
  });
}

absl::StatusOr<std::optional<std::string>> DirectorStore::RootFile(int64_t version) {
  return database_.Read("RootFile", [&](db::Reader& reader) -> absl::StatusOr<OptionalBytes> {
    const pqxx::result rows = db::ExecPrepared(reader, "root_file", kRootFile, version);
    if (rows.empty()) return OptionalBytes();
    return OptionalBytes(db::BytesOf(rows[0]["content"]));
  });
}

absl::Status DirectorStore::PublishRoot(const DirectorRoot& root, absl::Time now) {
  return database_.RunInTransaction("PublishRoot", [&](db::Transaction& tx) -> absl::Status {
    if (tx.exec_params(kInsertRoot, root.version, db::Bytes(root.content), db::Timestamp(now))
            .affected_rows() == 1) {
      return absl::OkStatus();
    }
    const pqxx::result latest = tx.exec(kLatestRoot);
    const int64_t version = latest.empty() ? 0 : latest[0]["version"].as<int64_t>();
    if (version == root.version && db::BytesOf(latest[0]["content"]) == root.content) return absl::OkStatus();
    return Error(absl::StatusCode::kFailedPrecondition, "VERSION_NOT_NEXT",
                 absl::StrCat("The Director's root has version ", version, ", so the next one is ",
                              version + 1, " and not ", root.version, "."),
                 {{"next_version", absl::StrCat(version + 1)}});
  });
}

absl::StatusOr<GatewayStanding> DirectorStore::Standing(const std::string& gateway) {
  return database_.Read("CheckIn", [&](db::Reader& reader) -> absl::StatusOr<GatewayStanding> {
    const pqxx::result rows = db::ExecPrepared(reader, "standing", kStanding, gateway);
    GatewayStanding standing;
    standing.known = rows[0]["known"].as<bool>();
    standing.changed = rows[0]["changed"].as<bool>();
    standing.targets_version = rows[0]["targets_version"].as<int64_t>();
    standing.prompts_waiting = rows[0]["prompts"].as<bool>();
    return standing;
  });
}

absl::StatusOr<std::optional<DirectorState>> DirectorStore::Load(const std::string& gateway) {
  using Loaded = std::optional<DirectorState>;
  return database_.Read("LoadDirector", [&](db::Reader& reader) -> absl::StatusOr<Loaded> {
    const pqxx::result rows = db::ExecPrepared(reader, "load_director", kLoad, gateway);
    if (rows.empty()) return Loaded();
    return Loaded(StateOf(rows[0]));
  });
}

absl::StatusOr<DirectorStore::Signable> DirectorStore::LoadForSigning(const std::string& gateway) {
  return database_.RunInTransaction(
      "LoadForSigning", db::Isolation::kRepeatableRead, [&](db::Transaction& tx) -> absl::StatusOr<Signable> {
        db::ExecPrepared(tx, "insert_director", kInsertGateway, gateway);
        Signable signable;
        signable.state = StateOf(db::ExecPrepared(tx, "load_director", kLoad, gateway)[0]);
        ASSIGN_OR_RETURN(signable.admitted, rollouts_.Admitted(tx, gateway));
        ASSIGN_OR_RETURN(signable.ahead, rollouts_.Ahead(tx, gateway));
        for (const pqxx::row& row : db::ExecPrepared(tx, "quarantined", kQuarantined, gateway)) {
          signable.quarantined.insert(db::TextOf(row[0]));
        }
        return signable;
      });
}

absl::StatusOr<bool> DirectorStore::Save(const std::string& gateway, const DirectorState& before,
                                         const DirectorMetadata& metadata, absl::string_view signed_under) {
  return database_.RunInTransaction("SaveDirector", [&](db::Transaction& tx) -> absl::StatusOr<bool> {
    const DirectorVersions& old = before.metadata.versions;
    const pqxx::result result = db::ExecPrepared(
        tx, "save_director", kSave, gateway, std::string(signed_under), metadata.versions.targets,
        metadata.versions.snapshot, metadata.versions.timestamp, db::Bytes(metadata.targets),
        db::Bytes(metadata.snapshot), db::Bytes(metadata.timestamp), db::Timestamp(metadata.refresh_targets),
        db::Timestamp(metadata.refresh_timestamp), before.revision, old.targets, old.snapshot, old.timestamp);
    return result.affected_rows() == 1;
  });
}

absl::StatusOr<std::optional<std::string>> DirectorStore::Targets(const std::string& gateway,
                                                                  int64_t version) {
  return ReadContent(database_, "director_targets", kTargets, gateway, version);
}

absl::StatusOr<std::optional<std::string>> DirectorStore::Snapshot(const std::string& gateway,
                                                                   int64_t version) {
  return ReadContent(database_, "director_snapshot", kSnapshot, gateway, version);
}

absl::StatusOr<std::optional<std::string>> DatabaseTrustedStore::Load(absl::string_view role) const {
  return database_.Read("LoadTrustedRole", [&](db::Reader& reader) -> absl::StatusOr<OptionalBytes> {
    const pqxx::result rows = reader.exec_params(kLoadRole, std::string(role));
    if (rows.empty()) return OptionalBytes();
    return OptionalBytes(db::BytesOf(rows[0]["content"]));
  });
}

absl::Status DatabaseTrustedStore::Save(absl::string_view role, absl::string_view bytes) {
  ASSIGN_OR_RETURN(const trust::Envelope envelope, trust::Envelope::Parse(bytes));
  const auto& content = envelope.content();
  if (!content.contains("version") || !content["version"].is_number_integer()) {
    return absl::InternalError(absl::StrCat("The metadata of role ", role, " has no version."));
  }
  const int64_t version = content["version"].get<int64_t>();
  return database_.RunInTransaction("SaveTrustedRole", [&](db::Transaction& tx) -> absl::Status {
    tx.exec_params(kSaveRole, std::string(role), version, db::Bytes(bytes));
    return absl::OkStatus();
  });
}

absl::Status DatabaseTrustedStore::Remove(absl::string_view role) {
  return database_.RunInTransaction("RemoveTrustedRole", [&](db::Transaction& tx) -> absl::Status {
    tx.exec_params(kRemoveRole, std::string(role));
    return absl::OkStatus();
  });
}

}  // namespace countersign::rollout
