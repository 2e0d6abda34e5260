#include "services/inventory/storage/challenge_key.h"

#include "common/crypto/random.h"
#include "common/db/sql.h"

namespace countersign::inventory {
namespace {

constexpr size_t kKeyBytes = 32;
constexpr char kInsert[] = "INSERT INTO challenge_key (key) VALUES ($1) ON CONFLICT DO NOTHING";
constexpr char kSelect[] = "SELECT key FROM challenge_key";

}  // namespace

absl::StatusOr<std::string> SharedChallengeKey(db::Database& database) {
  const std::string fresh = crypto::RandomBytes(kKeyBytes);
  return database.RunInTransaction("SharedChallengeKey",
                                   [&](db::Transaction& tx) -> absl::StatusOr<std::string> {
                                     tx.exec_params(kInsert, db::Bytes(fresh));
                                     return db::BytesOf(tx.exec(kSelect)[0][0]);
                                   });
}

}  // namespace countersign::inventory
