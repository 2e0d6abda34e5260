#include "services/package_store/storage/packages.h"

#include "absl/strings/str_cat.h"
#include "common/db/sql.h"
#include "common/status/errors.h"

namespace countersign::package_store {
namespace {

constexpr char kColumns[] =
    "SELECT target_path, manufacturer, length_bytes, encode(sha256, 'hex'), hardware_ids, version, "
    "release_counter, "
    "role_version, manufacturer_key_ids, authority_key_ids, approved_by, approved_at, approval_statement, "
    "log_index "
    "FROM packages ";
constexpr char kByPath[] = "WHERE target_path = $1";
constexpr char kAll[] = "WHERE target_path > $1 ORDER BY target_path LIMIT $2";
constexpr char kOfOne[] = "WHERE manufacturer = $3 AND target_path > $1 ORDER BY target_path LIMIT $2";

Package ReadPackage(const pqxx::row& row) {
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
  return package;
}

}  // namespace

absl::StatusOr<Package> Packages::Get(const std::string& target_path) {
  return database_.Read("GetPackage", [&](db::Reader& reader) -> absl::StatusOr<Package> {
    const pqxx::result rows =
        db::ExecPrepared(reader, "package_store_get_package", absl::StrCat(kColumns, kByPath), target_path);
    if (rows.empty()) {
      return Error(absl::StatusCode::kNotFound, "PACKAGE_NOT_FOUND",
                   absl::StrCat("No approved package is published as ", target_path, "."));
    }
    return ReadPackage(rows[0]);
  });
}

absl::StatusOr<std::vector<Package>> Packages::List(const std::optional<std::string>& manufacturer,
                                                    const std::string& after, int limit) {
  return database_.Read("ListPackages", [&](db::Reader& reader) -> absl::StatusOr<std::vector<Package>> {
    std::vector<Package> packages;
    const pqxx::result rows =
        manufacturer ? reader.exec_params(absl::StrCat(kColumns, kOfOne), after, limit, *manufacturer)
                     : reader.exec_params(absl::StrCat(kColumns, kAll), after, limit);
    for (const pqxx::row& row : rows) packages.push_back(ReadPackage(row));
    return packages;
  });
}

}  // namespace countersign::package_store
