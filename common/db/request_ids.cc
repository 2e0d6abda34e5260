#include "common/db/request_ids.h"

#include "common/crypto/digest.h"
#include "common/db/sql.h"
#include "common/status/errors.h"
#include "common/status/macros.h"

namespace countersign::db {
namespace {

// Waits for another transaction that has the same id, then inserts nothing if that one commits. (Under
// snapshot isolation it fails with a serialisation failure instead, and the transaction runs again.)
constexpr char kTake[] = R"sql(
  INSERT INTO request_ids (principal, method, request_id, request_digest) VALUES ($1, $2, $3, $4)
  ON CONFLICT DO NOTHING RETURNING 1
)sql";

constexpr char kSelect[] = R"sql(
  SELECT request_digest = $4 AS same, response FROM request_ids
  WHERE principal = $1 AND method = $2 AND request_id = $3
)sql";

constexpr char kRecord[] = R"sql(
  UPDATE request_ids SET response = $4 WHERE principal = $1 AND method = $2 AND request_id = $3
)sql";

constexpr char kPurge[] = R"sql(
  DELETE FROM request_ids WHERE ctid = ANY (ARRAY(SELECT ctid FROM request_ids WHERE created_at < $1 LIMIT $2))
)sql";

constexpr int kPurgeBatch = 5000;

}  // namespace

absl::StatusOr<std::optional<std::string>> FindReplay(Transaction& tx, absl::string_view principal,
                                                      absl::string_view method, absl::string_view request_id,
                                                      absl::string_view request_digest) {
  const std::string who(principal), what(method), id(request_id);
  if (!ExecPrepared(tx, "request_ids.take", kTake, who, what, id, Bytes(request_digest)).empty())
    return std::nullopt;
  const pqxx::result rows =
      ExecPrepared(tx, "request_ids.select", kSelect, who, what, id, Bytes(request_digest));
  if (rows.empty()) {
    // Purged between the two statements.
    return Error(absl::StatusCode::kAborted, "REQUEST_ID_EXPIRED",
                 "The record of this request_id has just expired; send the request again.");
  }
  if (!rows[0]["same"].as<bool>()) {
    return Error(absl::StatusCode::kInvalidArgument, "REQUEST_ID_REUSED",
                 "This request_id was used for another request: give every new request a new one.");
  }
  return NullableBytesOf(rows[0]["response"]).value_or("");
}

void RecordReplay(Transaction& tx, absl::string_view principal, absl::string_view method,
                  absl::string_view request_id, absl::string_view response) {
  ExecPrepared(tx, "request_ids.record", kRecord, std::string(principal), std::string(method),
               std::string(request_id), Bytes(response));
}

absl::StatusOr<std::string> Idempotently(Transaction& tx, absl::string_view principal,
                                         absl::string_view method, absl::string_view request_id,
                                         absl::string_view request_bytes,
                                         absl::FunctionRef<absl::StatusOr<std::string>()> body) {
  if (request_id.empty()) return body();
  ASSIGN_OR_RETURN(std::optional<std::string> replay,
                   FindReplay(tx, principal, method, request_id, crypto::Sha256(request_bytes)));
  if (replay.has_value()) return *std::move(replay);
  ASSIGN_OR_RETURN(std::string response, body());
  RecordReplay(tx, principal, method, request_id, response);
  return response;
}

absl::StatusOr<int64_t> PurgeRequestIds(Database& database, absl::Time before) {
  int64_t total = 0;
  while (true) {
    ASSIGN_OR_RETURN(const int64_t purged, database.RunInTransaction("PurgeRequestIds", [&](Transaction& tx) {
      return absl::StatusOr<int64_t>(tx.exec_params(kPurge, Timestamp(before), kPurgeBatch).affected_rows());
    }));
    total += purged;
    if (purged < kPurgeBatch) return total;
  }
}

}  // namespace countersign::db
