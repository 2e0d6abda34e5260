#ifndef COUNTERSIGN_SERVICES_INVENTORY_STORAGE_CHALLENGE_KEY_H_
#define COUNTERSIGN_SERVICES_INVENTORY_STORAGE_CHALLENGE_KEY_H_

#include <string>

#include "absl/status/statusor.h"
#include "common/db/database.h"

namespace countersign::inventory {

// The key of domain::Challenges that all replicas on this database share; the first one makes it.
absl::StatusOr<std::string> SharedChallengeKey(db::Database& database);

}  // namespace countersign::inventory

#endif  // COUNTERSIGN_SERVICES_INVENTORY_STORAGE_CHALLENGE_KEY_H_
