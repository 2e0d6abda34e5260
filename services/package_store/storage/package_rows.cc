#include "services/package_store/storage/package_rows.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/crypto/hex.h"
#include "common/feed/outbox.h"
#include "common/status/macros.h"
#include "services/package_store/domain/package_state.h"
#include "services/package_store/storage/transparency_log.h"

namespace countersign::package_store {
namespace {

constexpr char kStore[] = R"(
  INSERT INTO packages (target_path, manufacturer, length_bytes, sha256, hardware_ids, version, release_counter,
                        role_version, manufacturer_key_ids, authority_key_ids, approved_by, approved_at,
                        approval_statement, log_index)
  VALUES ($1, $2, $3, $4, $5::text[], $6, $7, $8, $9::text[], $10::text[], $11, $12, $13, $14)
  ON CONFLICT (target_path) DO UPDATE SET
    length_bytes = excluded.length_bytes, sha256 = excluded.sha256, hardware_ids = excluded.hardware_ids,
    version = excluded.version, release_counter = excluded.release_counter, role_version = excluded.role_version,
    manufacturer_key_ids = excluded.manufacturer_key_ids, authority_key_ids = excluded.authority_key_ids,
    approved_by = excluded.approved_by, approved_at = excluded.approved_at,
    approval_statement = excluded.approval_statement, log_index = excluded.log_index)";
constexpr char kForgetWithdrawal[] =
    "DELETE FROM ended_packages WHERE target_path = $1 AND state = 'WITHDRAWN'";

constexpr char kOthersInForce[] =
    "SELECT target_path FROM packages WHERE manufacturer = $1 AND NOT target_path = ANY ($2::text[])";
constexpr char kEnd[] = R"(
  WITH ended AS (DELETE FROM packages WHERE target_path = ANY ($1::text[]) RETURNING *)
  INSERT INTO ended_packages
  SELECT target_path, manufacturer, length_bytes, sha256, hardware_ids, version, release_counter, role_version,
         manufacturer_key_ids, authority_key_ids, approved_by, approved_at, approval_statement, log_index,
         $2, $3, $4, $5, $6::bytea
  FROM ended)";
// What was withdrawn, and is revoked after all.
constexpr char kEndAgain[] = R"(
  UPDATE ended_packages SET state = $2, ended_by = $3, ended_at = $4, end_reason = $5, revocation_statement = $6::bytea
  WHERE target_path = ANY ($1::text[]) AND state = 'WITHDRAWN')";

constexpr char kRecord[] = R"(
  INSERT INTO package_events (kind, happened_at, manufacturer, target_path, sha256, role_version, proposal, identity,
                              key_ids, reason, log_index)
  VALUES ($1, $2, $3, $4, decode(nullif($5, ''), 'hex'), $6, $7, $8, $9::text[], $10, $11))";

std::string Digest(const std::string& sha256) { return crypto::HexDecode(sha256).value_or(std::string()); }

absl::Status End(db::Transaction& tx, const std::vector<std::string>& paths, const Ending& ending,
                 const EncodePackage& encode) {
  const std::optional<std::string> statement = db::NullableBytes(
      ending.revocation_statement.empty() ? std::nullopt : std::make_optional(ending.revocation_statement));
  for (const char* sql : {kEndAgain, kEnd}) {
    tx.exec_params(sql, db::TextArray(paths), std::string(PackageStateName(ending.state)), ending.identity,
                   db::Timestamp(ending.time), ending.reason, statement);
  }
  const bool revoked = ending.state == PackageState::kRevoked;
  std::vector<feed::NewEvent> news;
  std::vector<PackageEvent> events;
  for (const std::string& path : paths) {
    ASSIGN_OR_RETURN(const std::optional<Package> package, LoadPackage(tx, path));
    tlog::LogEntry entry = ending.cause;
    entry.kind = revoked ? tlog::kPackageRevoked : tlog::kPackageWithdrawn;
    entry.target_path = path;
    entry.image_sha256 = package->target.sha256;
    news.push_back({revoked ? kPackageRevoked : kPackageWithdrawn, path, encode(*package)});
    events.push_back({.kind = revoked ? PackageEventKind::kRevoked : PackageEventKind::kWithdrawn,
                      .time = ending.time,
                      .manufacturer = package->manufacturer,
                      .target_path = path,
                      .sha256 = package->target.sha256,
                      .role_version = package->role_version,
                      .identity = ending.identity,
                      .key_ids = ending.cause.key_ids,
                      .reason = ending.reason,
                      .log_index = AppendLogEntry(tx, entry, ending.time)});
  }
  feed::Append(tx, news);
  RecordEvents(tx, events);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Package> PackageOf(const pqxx::row& row) {
  Package package;
  package.target.target_path = db::TextOf(row[0]);
  package.manufacturer = db::TextOf(row[1]);
  package.target.length_bytes = row[2].as<int64_t>();
  package.target.sha256 = db::TextOf(row[3]);
  package.target.hardware_ids = db::TextArrayOf(row[4]);
  package.target.version = db::TextOf(row[5]);
  package.target.release_counter = row[6].as<int64_t>();
  package.role_version = row[7].as<int64_t>();
  package.manufacturer_key_ids = db::TextArrayOf(row[8]);
  package.authority_key_ids = db::TextArrayOf(row[9]);
  package.approved_by = db::TextOf(row[10]);
  package.approved_at = db::TimeOf(row[11]);
  package.approval_statement = db::BytesOf(row[12]);
  package.log_index = db::NullableOf<int64_t>(row[13]);
  ASSIGN_OR_RETURN(package.state, ParsePackageState(db::TextOf(row[14])));
  package.ended_by = db::TextOf(row[15]);
  package.ended_at = db::NullableTimeOf(row[16]);
  package.end_reason = db::TextOf(row[17]);
  package.revocation_statement = db::NullableBytesOf(row[18]).value_or("");
  return package;
}

absl::StatusOr<std::optional<Package>> LoadPackage(db::Session& session, const std::string& target_path) {
  static const auto& sql =
      *new std::string(absl::StrCat("SELECT ", kPackageColumns, " FROM all_packages WHERE target_path = $1"));
  const pqxx::result rows = db::ExecPrepared(session, "package_store_load_package", sql, target_path);
  if (rows.empty()) return std::nullopt;
  ASSIGN_OR_RETURN(Package package, PackageOf(rows[0]));
  return package;
}

void StorePackage(db::Transaction& tx, const Package& package, const EncodePackage& encode) {
  const ProposedTarget& target = package.target;
  tx.exec_params(kForgetWithdrawal, target.target_path);
  tx.exec_params(kStore, target.target_path, package.manufacturer, target.length_bytes,
                 db::Bytes(Digest(target.sha256)), db::TextArray(target.hardware_ids), target.version,
                 target.release_counter, package.role_version, db::TextArray(package.manufacturer_key_ids),
                 db::TextArray(package.authority_key_ids), package.approved_by,
                 db::Timestamp(package.approved_at), db::Bytes(package.approval_statement),
                 package.log_index);
  feed::Append(tx, kPackagePublished, target.target_path, encode(package));
}

absl::StatusOr<int> EndPackagesExcept(db::Transaction& tx, const std::string& manufacturer,
                                      const std::vector<std::string>& kept, const Ending& ending,
                                      const EncodePackage& encode) {
  std::vector<std::string> paths;
  for (const pqxx::row& row : tx.exec_params(kOthersInForce, manufacturer, db::TextArray(kept))) {
    paths.push_back(db::TextOf(row[0]));
  }
  if (!paths.empty()) RETURN_IF_ERROR(End(tx, paths, ending, encode));
  return static_cast<int>(paths.size());
}

absl::Status EndPackage(db::Transaction& tx, const Package& package, const Ending& ending,
                        const EncodePackage& encode) {
  return End(tx, {package.target.target_path}, ending, encode);
}

void RecordEvents(db::Transaction& tx, const std::vector<PackageEvent>& events) {
  for (const PackageEvent& event : events) {
    tx.exec_params(kRecord, std::string(PackageEventKindName(event.kind)), db::Timestamp(event.time),
                   event.manufacturer, event.target_path, event.sha256, event.role_version, event.proposal,
                   event.identity, db::TextArray(event.key_ids), event.reason, event.log_index);
  }
}

}  // namespace countersign::package_store
