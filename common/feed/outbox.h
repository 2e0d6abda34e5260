#ifndef COUNTERSIGN_COMMON_FEED_OUTBOX_H_
#define COUNTERSIGN_COMMON_FEED_OUTBOX_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/db/database.h"

// The changes of a service, written in the transactions that make them and read by its Watch stream. The
// tables are in the component OutboxMigrations() (common/feed/outbox_migrations.h), which a service lists
// before its own.
//
// Events are read in the order of (transaction, id), and only those of transactions older than every one that
// still runs. So a reader that continues after the last event it saw misses nothing, although transactions do
// not commit in the order in which they took their ids. One transaction's events stay together and in order;
// two transactions that changed the same row come in the order of their ids, which may differ from that of
// their commits: an event says what happened, and a consumer that needs the newest state compares versions
// within the payload. A transaction that stays open, in any database of the same PostgreSQL, delays all
// events after it.
namespace countersign::feed {

struct Event {
  std::string token;  // the position after this event
  std::string kind;   // the service's own, e.g. "rollout.paused"
  std::string key;    // what changed, e.g. a resource name
  std::string payload;
  absl::Time created_at;  // start of the transaction
};

struct NewEvent {
  std::string kind;
  std::string key;
  std::string payload;
};

struct Page {
  std::vector<Event> events;
  std::string next_token;  // after the last event; the token of the call when there is none
};

// Both write within `tx`, and throw pqxx's exceptions within RunInTransaction.
void Append(db::Transaction& tx, absl::string_view kind, absl::string_view key, absl::string_view payload);
void Append(db::Transaction& tx, absl::Span<const NewEvent> events);

// The events after `token`, at most `limit`. "" is the beginning, that is the oldest event that is kept. A
// consumer that needs all the state takes Head(), then lists the state, then reads from there.
//   OUT_OF_RANGE / RESUME_TOKEN_EXPIRED   events after the token were trimmed (or the token is of another
//   database): do
//                                         as a new consumer does
//   INVALID_ARGUMENT / RESUME_TOKEN_INVALID
absl::StatusOr<Page> Read(db::Database& database, absl::string_view token, int limit);

// The position of now: Read from it gives the events of every transaction that commits after this call, and
// maybe some that committed just before.
absl::StatusOr<std::string> Head(db::Database& database);

// Deletes the oldest events, up to the first that is not from before `before`. Returns how many.
absl::StatusOr<int64_t> Trim(db::Database& database, absl::Time before);

// Whether `newer` is a position after `older`. Both must be tokens of this outbox, or "".
bool IsAfter(absl::string_view newer, absl::string_view older);

}  // namespace countersign::feed

#endif  // COUNTERSIGN_COMMON_FEED_OUTBOX_H_
