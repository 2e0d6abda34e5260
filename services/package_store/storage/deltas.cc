#include "services/package_store/storage/deltas.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/crypto/hex.h"
#include "common/crypto/random.h"
#include "common/db/sql.h"
#include "common/log/log.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "services/package_store/domain/delta_rules.h"

namespace countersign::package_store {
namespace {

// Often enough to tell what is not asked for any more, and no write for each question of a fleet.
constexpr absl::Duration kAskedPrecision = absl::Hours(1);

constexpr char kFind[] = R"(
  SELECT state, object, d.length_bytes, encode(delta_sha256, 'hex'), i.length_bytes, asked_at,
         CASE WHEN state = 'PENDING' THEN
           (SELECT sum(read_bytes) FROM deltas WHERE state = 'PENDING' AND requested_at <= d.requested_at)
         ELSE 0 END
  FROM deltas d JOIN images i USING (sha256) WHERE sha256 = $1 AND base_sha256 = $2)";
constexpr char kTouch[] = "UPDATE deltas SET asked_at = $3 WHERE sha256 = $1 AND base_sha256 = $2";
constexpr char kLengths[] = R"(
  SELECT (SELECT length_bytes FROM images WHERE sha256 = $2), (SELECT length_bytes FROM images WHERE sha256 = $1))";
constexpr char kLockQueue[] = "SELECT pg_advisory_xact_lock(hashtextextended('package_store.deltas', 0))";
constexpr char kQueue[] = R"(
  SELECT count(*) FILTER (WHERE requested_by = $1), count(*), coalesce(sum(read_bytes), 0)
  FROM deltas WHERE state = 'PENDING')";
constexpr char kInsert[] = R"(
  INSERT INTO deltas (sha256, base_sha256, state, requested_by, requested_at, asked_at, read_bytes)
  VALUES ($1, $2, 'PENDING', $3, $4, $4, $5) ON CONFLICT DO NOTHING)";
constexpr char kGiveUp[] = R"(
  UPDATE deltas SET state = 'NOT_WORTHWHILE', decided_at = $1
  WHERE state = 'PENDING' AND attempts >= $2 AND claimed_until <= $1 RETURNING encode(sha256, 'hex'))";
constexpr char kClaim[] = R"(
  UPDATE deltas d SET claim = $1, claimed_until = $3, attempts = attempts + 1
  FROM (SELECT sha256, base_sha256 FROM deltas
        WHERE state = 'PENDING' AND (claimed_until IS NULL OR claimed_until <= $2)
        ORDER BY requested_at LIMIT 1 FOR UPDATE SKIP LOCKED) next, images base, images image
  WHERE d.sha256 = next.sha256 AND d.base_sha256 = next.base_sha256
    AND base.sha256 = d.base_sha256 AND image.sha256 = d.sha256
  RETURNING encode(d.base_sha256, 'hex'), encode(d.sha256, 'hex'), base.length_bytes, image.length_bytes)";
constexpr char kRenew[] = "UPDATE deltas SET claimed_until = $2 WHERE claim = $1 AND state = 'PENDING'";
constexpr char kGiveBack[] =
    "UPDATE deltas SET claim = NULL, claimed_until = $2, attempts = attempts - 1 "
    "WHERE claim = $1 AND state = 'PENDING'";
constexpr char kReady[] = R"(
  UPDATE deltas SET state = 'READY', object = $2, length_bytes = $3, delta_sha256 = $4, decided_at = $5
  WHERE claim = $1 AND state = 'PENDING')";
constexpr char kNotWorthwhile[] =
    "UPDATE deltas SET state = 'NOT_WORTHWHILE', decided_at = $2 WHERE claim = $1 AND state = 'PENDING'";
constexpr char kCount[] = "SELECT count(*) FROM deltas WHERE state = 'PENDING'";
constexpr char kDeleteUnused[] = R"(
  DELETE FROM deltas WHERE asked_at < $1 OR (state = 'NOT_WORTHWHILE' AND decided_at < $1)
  RETURNING object)";
constexpr char kForget[] = "DELETE FROM deltas WHERE object = $1";
constexpr char kIsObject[] = "SELECT 1 FROM deltas WHERE object = $1";

pqxx::binarystring Digest(const std::string& sha256) {
  return db::Bytes(crypto::HexDecode(sha256).value_or(std::string()));
}

// What the row of kFind says, and when it was asked for last.
std::optional<std::pair<Delta, absl::Time>> Find(db::Session& session, const std::string& base_sha256,
                                                 const std::string& sha256) {
  const pqxx::result rows =
      db::ExecPrepared(session, "package_store_delta", kFind, Digest(sha256), Digest(base_sha256));
  if (rows.empty()) return std::nullopt;
  const pqxx::row row = rows[0];
  Delta delta{base_sha256, sha256};
  const std::string state = db::TextOf(row[0]);
  if (state == "PENDING") {
    delta.retry_delay = DeltaDelay(row[6].as<int64_t>());
  } else if (state == "READY") {
    delta.state = DeltaState::kReady;
    delta.object = db::TextOf(row[1]);
    delta.length_bytes = row[2].as<int64_t>();
    delta.delta_sha256 = db::TextOf(row[3]);
    delta.image_bytes = row[4].as<int64_t>();
  } else {
    delta.state = DeltaState::kNotWorthwhile;
  }
  return std::pair(std::move(delta), db::TimeOf(row[5]));
}

// The answer of an UPDATE by whoever holds a claim.
absl::Status CheckHeld(const pqxx::result& updated) {
  if (updated.affected_rows() == 1) return absl::OkStatus();
  return Error(absl::StatusCode::kAborted, "CLAIM_LOST", "another replica makes this delta, or has made it");
}

}  // namespace

absl::StatusOr<Delta> Deltas::Ask(const std::string& base_sha256, const std::string& sha256,
                                  const std::string& caller, absl::Time now) {
  using Found = std::optional<std::pair<Delta, absl::Time>>;
  ASSIGN_OR_RETURN(const Found found, database_.Read("FindDelta", [&](db::Reader& reader) {
    return absl::StatusOr<Found>(Find(reader, base_sha256, sha256));
  }));
  if (found.has_value() && now - found->second < kAskedPrecision) return found->first;
  return database_.RunInTransaction("AskDelta", [&](db::Transaction& tx) -> absl::StatusOr<Delta> {
    tx.exec_params(kLockQueue);
    if (const Found known = Find(tx, base_sha256, sha256); known.has_value()) {
      tx.exec_params(kTouch, Digest(sha256), Digest(base_sha256), db::Timestamp(now));
      return known->first;
    }
    const pqxx::row lengths = tx.exec_params1(kLengths, Digest(sha256), Digest(base_sha256));
    if (lengths[0].is_null() || lengths[1].is_null()) {
      return Error(absl::StatusCode::kNotFound, "IMAGE_NOT_FOUND",
                   absl::StrCat("There is no image ", lengths[0].is_null() ? base_sha256 : sha256, "."));
    }
    Delta delta{base_sha256, sha256};
    const int64_t base_bytes = lengths[0].as<int64_t>(), bytes = lengths[1].as<int64_t>();
    if (base_bytes > limits_.max_image_bytes || bytes > limits_.max_image_bytes) {
      delta.state = DeltaState::kNotWorthwhile;
      return delta;
    }
    const pqxx::row queue = tx.exec_params1(kQueue, caller);
    RETURN_IF_ERROR(CheckDeltaQueue(queue[0].as<int64_t>(), limits_.max_waiting_of_one,
                                    queue[1].as<int64_t>(), limits_.max_waiting));
    tx.exec_params(kInsert, Digest(sha256), Digest(base_sha256), caller, db::Timestamp(now),
                   base_bytes + bytes);
    delta.retry_delay = DeltaDelay(queue[2].as<int64_t>() + base_bytes + bytes);
    return delta;
  });
}

absl::StatusOr<Delta> Deltas::GetReady(const std::string& base_sha256, const std::string& sha256) {
  return database_.Read("GetReadyDelta", [&](db::Reader& reader) -> absl::StatusOr<Delta> {
    const auto found = Find(reader, base_sha256, sha256);
    if (found.has_value() && found->first.state == DeltaState::kReady) return found->first;
    return Error(absl::StatusCode::kNotFound, "DELTA_NOT_READY",
                 absl::StrCat("There is no delta from ", base_sha256, " to ", sha256,
                              "; ask for it with GetDelta, or download the image."));
  });
}

absl::Status Deltas::Forget(const std::string& object) {
  return database_.RunInTransaction("ForgetDelta", [&](db::Transaction& tx) -> absl::Status {
    tx.exec_params(kForget, object);
    return absl::OkStatus();
  });
}

absl::StatusOr<std::optional<Deltas::Claim>> Deltas::ClaimNext(absl::Time now, absl::Time until) {
  return database_.RunInTransaction(
      "ClaimDelta", [&](db::Transaction& tx) -> absl::StatusOr<std::optional<Claim>> {
        for (const pqxx::row& row : tx.exec_params(kGiveUp, db::Timestamp(now), kMaxAttempts)) {
          log::Error("a delta was given up: nobody lived to finish it", {{"sha256", db::TextOf(row[0])}});
        }
        Claim claim;
        claim.id = crypto::RandomHex(16);
        const pqxx::result rows = tx.exec_params(kClaim, claim.id, db::Timestamp(now), db::Timestamp(until));
        if (rows.empty()) return std::optional<Claim>();
        claim.base_sha256 = db::TextOf(rows[0][0]);
        claim.sha256 = db::TextOf(rows[0][1]);
        claim.base_bytes = rows[0][2].as<int64_t>();
        claim.bytes = rows[0][3].as<int64_t>();
        return std::optional<Claim>(claim);
      });
}

absl::Status Deltas::Renew(const Claim& claim, absl::Time until) {
  return database_.RunInTransaction("RenewDelta", [&](db::Transaction& tx) {
    return CheckHeld(tx.exec_params(kRenew, claim.id, db::Timestamp(until)));
  });
}

absl::Status Deltas::GiveBack(const Claim& claim, absl::Time at) {
  return database_.RunInTransaction("GiveBackDelta", [&](db::Transaction& tx) {
    return CheckHeld(tx.exec_params(kGiveBack, claim.id, db::Timestamp(at)));
  });
}

absl::Status Deltas::CompleteReady(const Claim& claim, const std::string& object, int64_t length_bytes,
                                   const std::string& delta_sha256, absl::Time now) {
  return database_.RunInTransaction("CompleteDelta", [&](db::Transaction& tx) {
    return CheckHeld(
        tx.exec_params(kReady, claim.id, object, length_bytes, Digest(delta_sha256), db::Timestamp(now)));
  });
}

absl::Status Deltas::CompleteNotWorthwhile(const Claim& claim, absl::Time now) {
  return database_.RunInTransaction("RejectDelta", [&](db::Transaction& tx) {
    return CheckHeld(tx.exec_params(kNotWorthwhile, claim.id, db::Timestamp(now)));
  });
}

absl::StatusOr<int64_t> Deltas::CountWaiting() {
  return database_.Read("CountDeltas", [](db::Reader& reader) -> absl::StatusOr<int64_t> {
    return reader.exec1(kCount)[0].as<int64_t>();
  });
}

absl::StatusOr<std::vector<std::string>> Deltas::DeleteUnused(absl::Time before) {
  return database_.RunInTransaction(
      "DeleteUnusedDeltas", [&](db::Transaction& tx) -> absl::StatusOr<std::vector<std::string>> {
        std::vector<std::string> objects;
        for (const pqxx::row& row : tx.exec_params(kDeleteUnused, db::Timestamp(before))) {
          if (!row[0].is_null()) objects.push_back(db::TextOf(row[0]));
        }
        return objects;
      });
}

absl::StatusOr<bool> Deltas::IsObject(const std::string& object) {
  return database_.Read("IsDeltaObject", [&](db::Reader& reader) -> absl::StatusOr<bool> {
    return !reader.exec_params(kIsObject, object).empty();
  });
}

}  // namespace countersign::package_store
