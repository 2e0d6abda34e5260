#ifndef COUNTERSIGN_SERVICES_PACKAGE_STORE_STORAGE_PACKAGE_ROWS_H_
#define COUNTERSIGN_SERVICES_PACKAGE_STORE_STORAGE_PACKAGE_ROWS_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/db/database.h"
#include "common/db/sql.h"
#include "common/tlog/entry.h"
#include "services/package_store/domain/values.h"
#include "services/package_store/storage/repository_sql.h"

// The steps that change packages are made of. All run within a caller's transaction, and throw pqxx's
// exceptions. What changes packages in force is under the exclusive lock, and before
// TransparencyLog::SignHead().
namespace countersign::package_store {

// Of view all_packages, for PackageOf.
inline constexpr char kPackageColumns[] =
    "target_path, manufacturer, length_bytes, encode(sha256, 'hex'), hardware_ids, version, release_counter, "
    "role_version, manufacturer_key_ids, authority_key_ids, approved_by, approved_at, approval_statement, "
    "log_index, "
    "state, ended_by, ended_at, end_reason, revocation_statement";
absl::StatusOr<Package> PackageOf(const pqxx::row& row);

// Whatever its state; nullopt if there never was one.
absl::StatusOr<std::optional<Package>> LoadPackage(db::Session& session, const std::string& target_path);

// Puts a package in force, also one that was withdrawn before, and tells the watchers.
void StorePackage(db::Transaction& tx, const Package& package, const EncodePackage& encode);

// How packages come to their end.
struct Ending {
  PackageState state = PackageState::kWithdrawn;
  std::string identity;
  // The log's entry about the metadata by which it happens, with the keys that stand behind it; each package
  // gets one of its own that says so.
  tlog::LogEntry cause;
  std::string reason;
  std::string revocation_statement;
  absl::Time time;
};

// Ends the packages in force of a manufacturer, except those at `kept`; tells the watchers, and writes the
// history. Returns how many.
absl::StatusOr<int> EndPackagesExcept(db::Transaction& tx, const std::string& manufacturer,
                                      const std::vector<std::string>& kept, const Ending& ending,
                                      const EncodePackage& encode);
// Ends one, which is in force or was withdrawn.
absl::Status EndPackage(db::Transaction& tx, const Package& package, const Ending& ending,
                        const EncodePackage& encode);

// Writes what happened into the history, where it stays.
void RecordEvents(db::Transaction& tx, const std::vector<PackageEvent>& events);

}  // namespace countersign::package_store

#endif  // COUNTERSIGN_SERVICES_PACKAGE_STORE_STORAGE_PACKAGE_ROWS_H_
