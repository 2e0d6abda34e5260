#include "services/package_store/storage/image_health.h"

#include "absl/strings/str_cat.h"
#include "common/crypto/hex.h"
#include "common/crypto/random.h"
#include "common/db/sql.h"
#include "common/log/log.h"
#include "common/status/errors.h"
#include "common/status/macros.h"

namespace countersign::package_store {
namespace {

constexpr char kMark[] = R"(
  UPDATE images SET damaged_at = $2, damage = $3, scrub_holder = NULL, scrub_until = NULL, scrub_state = NULL
  WHERE sha256 = $1 AND damaged_at IS NULL RETURNING 1)";
constexpr char kFail[] = R"(
  UPDATE images SET damaged_at = $2, damage = $3, scrub_holder = NULL, scrub_until = NULL, scrub_state = NULL
  WHERE sha256 = $1 AND damaged_at IS NULL AND scrub_holder = $4 RETURNING 1)";
constexpr char kTake[] = R"(
  UPDATE images SET scrub_holder = $1, scrub_until = $2
  WHERE sha256 = (SELECT sha256 FROM images
                  WHERE damaged_at IS NULL AND coalesce(checked_at, stored_at) < $3
                    AND (scrub_until IS NULL OR scrub_until < $4)
                  ORDER BY coalesce(checked_at, stored_at) LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED)
  RETURNING encode(sha256, 'hex'), length_bytes, coalesce(scrub_state, ''))";
constexpr char kKeep[] = R"(
  UPDATE images SET scrub_state = $3, scrub_until = $4
  WHERE sha256 = $1 AND scrub_holder = $2 AND damaged_at IS NULL RETURNING 1)";
constexpr char kPass[] = R"(
  UPDATE images SET checked_at = $3, scrub_holder = NULL, scrub_until = NULL, scrub_state = NULL
  WHERE sha256 = $1 AND scrub_holder = $2 AND damaged_at IS NULL)";
constexpr char kCount[] = "SELECT count(*) FROM images WHERE damaged_at IS NOT NULL";

pqxx::binarystring Digest(const std::string& sha256) {
  return db::Bytes(crypto::HexDecode(sha256).value_or(std::string()));
}

// FOTA-R2: a modification of what is stored is detected, and said where somebody looks.
void Tell(const std::string& sha256, absl::string_view damage) {
  log::Error("an image is damaged; it is not served until it is uploaded again",
             {{"sha256", sha256}, {"damage", damage}});
}

}  // namespace

absl::Status ImageDamaged(absl::string_view sha256) {
  return Error(absl::StatusCode::kFailedPrecondition, "IMAGE_DAMAGED",
               absl::StrCat("The store's copy of image ", sha256,
                            " is damaged. Its manufacturer repairs it by uploading it again."));
}

absl::Status MarkDamaged(db::Database& database, const std::string& sha256, absl::string_view damage,
                         absl::Time now) {
  ASSIGN_OR_RETURN(
      const bool is_new,
      database.RunInTransaction("MarkDamaged", [&](db::Transaction& tx) -> absl::StatusOr<bool> {
        return !tx.exec_params(kMark, Digest(sha256), db::Timestamp(now), std::string(damage)).empty();
      }));
  if (is_new) Tell(sha256, damage);
  return absl::OkStatus();
}

ImageHealth::ImageHealth(db::Database& database, BlobStore& blobs)
    : database_(database), blobs_(blobs), holder_(crypto::Uuid()) {}

absl::StatusOr<std::optional<ImageHealth::Turn>> ImageHealth::Take(absl::Time now, absl::Time due_before,
                                                                   absl::Time until) {
  return database_.RunInTransaction(
      "TakeScrub", [&](db::Transaction& tx) -> absl::StatusOr<std::optional<Turn>> {
        const pqxx::result rows = tx.exec_params(kTake, holder_, db::Timestamp(until),
                                                 db::Timestamp(due_before), db::Timestamp(now));
        if (rows.empty()) return std::nullopt;
        return Turn{db::TextOf(rows[0][0]), rows[0][1].as<int64_t>(), db::TextOf(rows[0][2])};
      });
}

absl::StatusOr<bool> ImageHealth::Keep(const Turn& turn, absl::Time until) {
  return database_.RunInTransaction("KeepScrub", [&](db::Transaction& tx) -> absl::StatusOr<bool> {
    return !tx.exec_params(kKeep, Digest(turn.sha256), holder_, turn.state, db::Timestamp(until)).empty();
  });
}

absl::Status ImageHealth::Pass(const Turn& turn, absl::Time now) {
  return database_.RunInTransaction("PassScrub", [&](db::Transaction& tx) -> absl::Status {
    tx.exec_params(kPass, Digest(turn.sha256), holder_, db::Timestamp(now));
    return absl::OkStatus();
  });
}

absl::Status ImageHealth::Fail(const Turn& turn, absl::string_view damage, absl::Time now) {
  ASSIGN_OR_RETURN(const bool is_new,
                   database_.RunInTransaction("FailScrub", [&](db::Transaction& tx) -> absl::StatusOr<bool> {
                     return !tx.exec_params(kFail, Digest(turn.sha256), db::Timestamp(now),
                                            std::string(damage), holder_)
                                 .empty();
                   }));
  if (is_new) Tell(turn.sha256, damage);
  return absl::OkStatus();
}

absl::StatusOr<int64_t> ImageHealth::CountDamaged() {
  return database_.Read("CountDamaged", [](db::Reader& reader) -> absl::StatusOr<int64_t> {
    return reader.exec1(kCount)[0].as<int64_t>();
  });
}

}  // namespace countersign::package_store
