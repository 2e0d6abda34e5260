#ifndef COUNTERSIGN_SERVICES_PACKAGE_STORE_STORAGE_REPOSITORY_SQL_H_
#define COUNTERSIGN_SERVICES_PACKAGE_STORE_STORAGE_REPOSITORY_SQL_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/db/database.h"
#include "common/trust/metadata.h"
#include "services/package_store/domain/repository_rules.h"
#include "services/package_store/domain/values.h"

// The steps that publications are made of. All run within a caller's transaction, and throw pqxx's
// exceptions.
namespace countersign::package_store {

// Who asks for a change, and with which request: the same request sent twice is done once.
struct Requester {
  std::string identity;       // role/id
  std::string request_id;     // UUID
  std::string request_bytes;  // the serialised request
};

// What the outbox says about a package, in the bytes that Watch gives its readers.
using EncodePackage = std::function<std::string(const Package&)>;
inline constexpr char kPackagePublished[] = "package.published";
inline constexpr char kPackageRevoked[] = "package.revoked";
inline constexpr char kPackageWithdrawn[] = "package.withdrawn";

struct OnlineSigning {
  OnlineKeys keys;
  OnlineLifetimes lifetimes;
};

// The lock under which metadata is published (exclusive: one publication at a time over all replicas, so that
// no version is given twice) or compared with what is in force (shared). Taken first in a transaction.
enum class RepositoryLock { kShared, kExclusive };
void LockRepository(db::Transaction& tx, RepositoryLock lock);

// A role's file in force.
struct RoleFile {
  int64_t version;
  std::string content;
  absl::Time expires;
};
std::optional<RoleFile> LoadRole(db::Session& session, absl::string_view role);

// The root in force. FAILED_PRECONDITION (NO_ROOT) if there is none.
absl::StatusOr<trust::Root> LoadRoot(db::Session& session);

// The top-level targets in force, which delegate to the manufacturers; none if there are no targets.
// FAILED_PRECONDITION (NO_ROOT).
absl::StatusOr<std::optional<trust::Targets>> LoadTopTargets(db::Session& session);

// Lengths of the images that `targets` names and `manufacturer` has stored, by SHA-256.
std::map<std::string, int64_t> LoadImages(db::Session& session, const std::string& manufacturer,
                                          const trust::Targets& targets);

// Puts a role's next version in force, with its file.
MetadataFile StoreRole(db::Transaction& tx, absl::string_view role, int64_t version,
                       const std::string& content, absl::Time expires, absl::Time now);

// Signs and stores the next snapshot of what is in force, and the timestamp of that snapshot. Under the
// exclusive lock. FAILED_PRECONDITION (ONLINE_KEY_NOT_LISTED).
absl::Status StoreSnapshot(db::Transaction& tx, const trust::Root& root, const OnlineSigning& signing,
                           absl::Time now);
// Signs and stores the next timestamp of the snapshot in force.
absl::Status StoreTimestamp(db::Transaction& tx, const trust::Root& root, const OnlineSigning& signing,
                            absl::Time now);

// Lets the versions of snapshot and timestamp begin anew.
void ForgetOnlineVersions(db::Transaction& tx);

}  // namespace countersign::package_store

#endif  // COUNTERSIGN_SERVICES_PACKAGE_STORE_STORAGE_REPOSITORY_SQL_H_
