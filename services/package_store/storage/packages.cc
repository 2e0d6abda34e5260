#include "services/package_store/storage/packages.h"

#include <limits>

#include "absl/strings/str_cat.h"
#include "common/db/request_ids.h"
#include "common/db/sql.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "services/package_store/domain/package_state.h"
#include "services/package_store/storage/package_rows.h"

namespace countersign::package_store {
namespace {

constexpr char kOfOne[] = " AND manufacturer = $3";
constexpr char kInForce[] = " AND state = 'APPROVED'";

constexpr char kHistory[] = R"(
  SELECT id, kind, happened_at, manufacturer, target_path, encode(sha256, 'hex'), role_version, proposal, identity,
         key_ids, reason, log_index
  FROM package_events WHERE id < $1)";

constexpr char kPublishedBy[] = "SELECT content FROM metadata_files WHERE role = $1 AND version = $2";

// The role's file that published the package as it is.
std::string LoadPublished(db::Session& session, const Package& package) {
  return db::BytesOf(session.exec_params1(kPublishedBy, package.manufacturer, package.role_version)[0]);
}

absl::Status NotFound(const std::string& target_path) {
  return Error(absl::StatusCode::kNotFound, "PACKAGE_NOT_FOUND",
               absl::StrCat("No approved package is published as ", target_path, "."));
}

absl::Status Ended(const Package& package) {
  const std::string what = absl::StrCat(package.target.target_path, " was ",
                                        package.state == PackageState::kRevoked ? "revoked" : "withdrawn");
  return Error(absl::StatusCode::kNotFound,
               package.state == PackageState::kRevoked ? "PACKAGE_REVOKED" : "PACKAGE_WITHDRAWN",
               absl::StrCat("Package ", what, " by ", package.ended_by, ": ", package.end_reason),
               {{"target_path", package.target.target_path}});
}

absl::StatusOr<PackageEvent> EventOf(const pqxx::row& row) {
  PackageEvent event;
  ASSIGN_OR_RETURN(event.kind, ParsePackageEventKind(db::TextOf(row[1])));
  event.time = db::TimeOf(row[2]);
  event.manufacturer = db::TextOf(row[3]);
  event.target_path = db::TextOf(row[4]);
  event.sha256 = db::NullableOf<std::string>(row[5]).value_or("");
  event.role_version = row[6].as<int64_t>();
  event.proposal = db::TextOf(row[7]);
  event.identity = db::TextOf(row[8]);
  event.key_ids = db::TextArrayOf(row[9]);
  event.reason = db::TextOf(row[10]);
  event.log_index = db::NullableOf<int64_t>(row[11]);
  return event;
}

}  // namespace

absl::StatusOr<Package> Packages::Get(const std::string& target_path, bool with_ended) {
  return database_.Read("GetPackage", [&](db::Reader& reader) -> absl::StatusOr<Package> {
    ASSIGN_OR_RETURN(std::optional<Package> package, LoadPackage(reader, target_path));
    if (!package.has_value()) return NotFound(target_path);
    if (package->state != PackageState::kApproved && !with_ended) return Ended(*package);
    return *std::move(package);
  });
}

absl::StatusOr<std::vector<Package>> Packages::List(const std::optional<std::string>& manufacturer,
                                                    const std::string& after, int limit, bool with_ended) {
  const std::string sql =
      absl::StrCat("SELECT ", kPackageColumns, " FROM all_packages WHERE target_path > $1",
                   manufacturer ? kOfOne : "", with_ended ? "" : kInForce, " ORDER BY target_path LIMIT $2");
  return database_.Read("ListPackages", [&](db::Reader& reader) -> absl::StatusOr<std::vector<Package>> {
    std::vector<Package> packages;
    const pqxx::result rows = manufacturer ? reader.exec_params(sql, after, limit, *manufacturer)
                                           : reader.exec_params(sql, after, limit);
    for (const pqxx::row& row : rows) {
      ASSIGN_OR_RETURN(Package package, PackageOf(row));
      packages.push_back(std::move(package));
    }
    return packages;
  });
}

absl::StatusOr<Package> Packages::Revoke(const std::string& target_path, const std::string& reason,
                                         const std::string& statement, const Requester& requester,
                                         absl::Time now) {
  absl::StatusOr<Package> answer =
      database_.RunInTransaction("RevokePackage", [&](db::Transaction& tx) -> absl::StatusOr<Package> {
        const auto revoke = [&]() -> absl::StatusOr<std::string> {
          LockRepository(tx, RepositoryLock::kExclusive);
          ASSIGN_OR_RETURN(const std::optional<Package> package, LoadPackage(tx, target_path));
          if (!package.has_value()) return NotFound(target_path);
          if (package->state == PackageState::kRevoked) return target_path;
          ASSIGN_OR_RETURN(const trust::Root root, LoadRoot(tx));
          ASSIGN_OR_RETURN(const std::optional<trust::Targets> top, LoadTopTargets(tx));
          const trust::Delegations delegations =
              top ? top->delegations.value_or(trust::Delegations()) : trust::Delegations();
          ASSIGN_OR_RETURN(std::vector<std::string> key_ids,
                           CheckRevocation(*package, delegations, reason, statement, now));
          RETURN_IF_ERROR(EndPackage(
              tx, *package,
              {.state = PackageState::kRevoked,
               .identity = requester.identity,
               .cause = FileEntry(tlog::kPackageRevoked, package->manufacturer, package->role_version,
                                  LoadPublished(tx, *package), std::move(key_ids)),
               .reason = reason,
               .revocation_statement = statement,
               .time = now},
              encode_package_));
          RETURN_IF_ERROR(log_.SignHead(tx, root, now));
          return target_path;
        };
        ASSIGN_OR_RETURN(const std::string done,
                         db::Idempotently(tx, requester.identity, "RevokePackage", requester.request_id,
                                          requester.request_bytes, revoke));
        ASSIGN_OR_RETURN(std::optional<Package> revoked, LoadPackage(tx, done));
        if (!revoked.has_value()) return NotFound(done);
        return *std::move(revoked);
      });
  if (answer.ok()) log_.KeepHead();
  return answer;
}

absl::StatusOr<std::vector<PackageEvent>> Packages::History(const std::optional<std::string>& manufacturer,
                                                            const std::string& target_path, int64_t before,
                                                            int limit, std::vector<int64_t>* numbers) {
  // Each variant has only the restriction that it uses, so that each has its index.
  const char* where = !target_path.empty() ? " AND target_path = $3 AND ($2 = '' OR manufacturer = $2)"
                      : manufacturer       ? " AND manufacturer = $2 AND $3 = ''"
                                           : " AND $2 = '' AND $3 = ''";
  const std::string sql = absl::StrCat(kHistory, where, " ORDER BY id DESC LIMIT $4");
  using Events = std::vector<PackageEvent>;
  return database_.Read("ListPackageEvents", [&](db::Reader& reader) -> absl::StatusOr<Events> {
    Events events;
    numbers->clear();
    for (const pqxx::row& row :
         reader.exec_params(sql, before == 0 ? std::numeric_limits<int64_t>::max() : before,
                            manufacturer.value_or(""), target_path, limit)) {
      ASSIGN_OR_RETURN(PackageEvent event, EventOf(row));
      numbers->push_back(row[0].as<int64_t>());
      events.push_back(std::move(event));
    }
    return events;
  });
}

}  // namespace countersign::package_store
