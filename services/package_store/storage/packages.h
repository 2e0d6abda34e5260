#ifndef COUNTERSIGN_SERVICES_PACKAGE_STORE_STORAGE_PACKAGES_H_
#define COUNTERSIGN_SERVICES_PACKAGE_STORE_STORAGE_PACKAGES_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/db/database.h"
#include "services/package_store/domain/values.h"

namespace countersign::package_store {

// The packages in force. Written by Proposals and Publications. Thread-safe.
class Packages {
 public:
  explicit Packages(db::Database& database) : database_(database) {}

  // NOT_FOUND (PACKAGE_NOT_FOUND) also for a target that was proposed but not approved, or withdrawn.
  absl::StatusOr<Package> Get(const std::string& target_path);

  // The next `limit` after target path `after` ("": from the first), in order of target path, of one
  // manufacturer or all.
  absl::StatusOr<std::vector<Package>> List(const std::optional<std::string>& manufacturer,
                                            const std::string& after, int limit);

 private:
  db::Database& database_;
};

}  // namespace countersign::package_store

#endif  // COUNTERSIGN_SERVICES_PACKAGE_STORE_STORAGE_PACKAGES_H_
