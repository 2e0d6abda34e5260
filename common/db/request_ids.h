#ifndef COUNTERSIGN_COMMON_DB_REQUEST_IDS_H_
#define COUNTERSIGN_COMMON_DB_REQUEST_IDS_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/db/database.h"

namespace countersign::db {

// The record that makes a mutation idempotent: it commits with the change. The table is in the component
// RequestIdsMigrations() (common/db/request_ids_migrations.h), which a service lists first.

// The common way. If `request_id` was used by `principal` (identity as text) for `method` with the same
// `request_bytes` (the serialised request), returns the response that was recorded then, and `body` does not
// run. Else runs `body` within `tx` and records the response bytes that it returns; its error is returned,
// and rolls all of it back. A second call with the same id which runs at the same time waits for the first
// one's outcome.
//   INVALID_ARGUMENT / REQUEST_ID_REUSED: the id was used with other bytes.
// Empty `request_id`: `body` just runs. Throws pqxx's exceptions, within RunInTransaction.
absl::StatusOr<std::string> Idempotently(Transaction& tx, absl::string_view principal,
                                         absl::string_view method, absl::string_view request_id,
                                         absl::string_view request_bytes,
                                         absl::FunctionRef<absl::StatusOr<std::string>()> body);

// The same in two steps. FindReplay returns the recorded response, or takes the id for this transaction,
// which then must call RecordReplay before it commits. `request_digest` is of the caller's choice (SHA-256 of
// the request).
absl::StatusOr<std::optional<std::string>> FindReplay(Transaction& tx, absl::string_view principal,
                                                      absl::string_view method, absl::string_view request_id,
                                                      absl::string_view request_digest);
void RecordReplay(Transaction& tx, absl::string_view principal, absl::string_view method,
                  absl::string_view request_id, absl::string_view response);

// Deletes the records from before `before`, in transactions of bounded size. Returns how many. A request that
// is repeated later than that is done again: keep them longer than any client retries (a day or more).
absl::StatusOr<int64_t> PurgeRequestIds(Database& database, absl::Time before);

}  // namespace countersign::db

#endif  // COUNTERSIGN_COMMON_DB_REQUEST_IDS_H_
