#ifndef COUNTERSIGN_SERVICES_PACKAGE_STORE_STORAGE_PACKAGES_H_
#define COUNTERSIGN_SERVICES_PACKAGE_STORE_STORAGE_PACKAGES_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/db/database.h"
#include "services/package_store/domain/values.h"
#include "services/package_store/storage/repository_sql.h"
#include "services/package_store/storage/transparency_log.h"

namespace countersign::package_store {

// The packages and their history. Proposals and Publications put them in force and withdraw them.
// Thread-safe.
class Packages {
 public:
  // `database` and `log` outlive it.
  Packages(db::Database& database, TransparencyLog& log, EncodePackage encode_package)
      : database_(database), log_(log), encode_package_(std::move(encode_package)) {}

  // NOT_FOUND (PACKAGE_NOT_FOUND) also for a target that was proposed but not approved; with
  // PACKAGE_REVOKED or PACKAGE_WITHDRAWN one that is approved no longer, unless `with_ended`.
  absl::StatusOr<Package> Get(const std::string& target_path, bool with_ended);

  // The next `limit` after target path `after` ("": from the first), in order of target path, of one
  // manufacturer or all.
  absl::StatusOr<std::vector<Package>> List(const std::optional<std::string>& manufacturer,
                                            const std::string& after, int limit, bool with_ended);

  // Takes a package back, for ever: nothing that happens before the commit sees it revoked, nothing after it
  // sees it approved. One that is revoked already stays as it is. Errors as the API names them.
  absl::StatusOr<Package> Revoke(const std::string& target_path, const std::string& reason,
                                 const std::string& statement, const Requester& requester, absl::Time now);

  // The next `limit` events before number `before` (0: from the newest), newest first; of one manufacturer or
  // all, of one target ("": all). `numbers` gets the number of each.
  absl::StatusOr<std::vector<PackageEvent>> History(const std::optional<std::string>& manufacturer,
                                                    const std::string& target_path, int64_t before, int limit,
                                                    std::vector<int64_t>* numbers);

 private:
  db::Database& database_;
  TransparencyLog& log_;
  const EncodePackage encode_package_;
};

}  // namespace countersign::package_store

#endif  // COUNTERSIGN_SERVICES_PACKAGE_STORE_STORAGE_PACKAGES_H_
