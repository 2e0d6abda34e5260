#ifndef COUNTERSIGN_SERVICES_PACKAGE_STORE_STORAGE_PUBLICATIONS_H_
#define COUNTERSIGN_SERVICES_PACKAGE_STORE_STORAGE_PUBLICATIONS_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/db/database.h"
#include "services/package_store/domain/values.h"
#include "services/package_store/storage/repository_sql.h"
#include "services/package_store/storage/transparency_log.h"

namespace countersign::package_store {

// The repository's metadata files: publishes the top-level roles and keeps the online ones fresh. Each
// publication is one transaction: the files, the versions in force, and what follows from them. Thread-safe.
class Publications {
 public:
  // `database`, the signing keys and `log` outlive it.
  Publications(db::Database& database, const OnlineSigning& signing, TransparencyLog& log,
               EncodePackage encode_package)
      : database_(database), signing_(signing), log_(log), encode_package_(std::move(encode_package)) {}

  // A file by its name. NOT_FOUND (METADATA_NOT_FOUND).
  absl::StatusOr<std::string> GetFile(const std::string& file_name);

  // Both: errors as the API names them; the same bytes again are answered as the first time. What is
  // published, and what is withdrawn by it, is in the transparency log. A root under which the snapshot or
  // timestamp in force does not hold any more brings new ones with it.
  absl::StatusOr<MetadataFile> PublishRoot(const std::string& bytes, absl::Time now);
  // Packages of manufacturers whose published role the new delegations do not vouch for are withdrawn: no
  // client accepts them any more. `published_by` is role/id.
  absl::StatusOr<MetadataFile> PublishTargets(const std::string& bytes, const std::string& published_by,
                                              absl::Time now);

  // The next version of the manufacturer's pending role, which it signs alone.
  absl::StatusOr<MetadataFile> PublishPending(const std::string& manufacturer, const std::string& bytes,
                                              absl::Time now);

  enum class Renewal { kNotDue, kTimestamp, kSnapshotAndTimestamp };
  // Signs timestamp, and snapshot, again if that is due; of several replicas that find it due one does it.
  absl::StatusOr<Renewal> RenewIfDue(absl::Time now);

  // When what is in force expires, by role: root, targets, snapshot, timestamp, as "delegated" the earliest
  // of the manufacturers' roles, and as "pending" that of their pending ones. Roles that there are none of
  // are left out.
  absl::StatusOr<std::map<std::string, absl::Time>> Expiries();

  // Deletes snapshots that no timestamp which has not expired can name. Returns how many.
  absl::StatusOr<int64_t> DeleteOldSnapshots(absl::Time now);

 private:
  db::Database& database_;
  const OnlineSigning signing_;
  TransparencyLog& log_;
  const EncodePackage encode_package_;
};

}  // namespace countersign::package_store

#endif  // COUNTERSIGN_SERVICES_PACKAGE_STORE_STORAGE_PUBLICATIONS_H_
