#include "common/feed/outbox.h"

#include <compare>
#include <limits>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/db/sql.h"
#include "common/status/errors.h"
#include "common/status/macros.h"

namespace countersign::feed {
namespace {

constexpr char kAppend[] = "INSERT INTO outbox (kind, key, payload) VALUES ($1, $2, $3)";

constexpr char kAppendMany[] = R"sql(
  INSERT INTO outbox (kind, key, payload)
  SELECT kind, key, payload
  FROM unnest($1::text[], $2::text[], $3::bytea[]) WITH ORDINALITY AS event (kind, key, payload, position)
  ORDER BY position
)sql";

// One statement, so that events and horizon are of one state: whoever trims in between is seen whole or not
// at all. A position above xmax is one that this database has not come to yet.
constexpr char kRead[] = R"sql(
  SELECT
    EXISTS (SELECT FROM outbox_horizon AS horizon WHERE (horizon.xid, horizon.id) > ($1::xid8, $2::bigint))
      OR $1::xid8 > pg_snapshot_xmax(pg_current_snapshot()) AS expired,
    event.*
  FROM (VALUES (1)) AS always LEFT JOIN LATERAL (
    SELECT xid, id, kind, key, payload, created_at
    FROM outbox
    WHERE (xid, id) > ($1::xid8, $2::bigint) AND xid < pg_snapshot_xmin(pg_current_snapshot())
    ORDER BY xid, id
    LIMIT $3
  ) AS event ON true
  ORDER BY event.xid, event.id
)sql";

constexpr char kHead[] = "SELECT pg_snapshot_xmin(pg_current_snapshot())";

// A prefix of the order, so that one position says what is gone.
constexpr char kTrim[] = R"sql(
  WITH settled AS (
    SELECT xid, id, created_at FROM outbox WHERE xid < pg_snapshot_xmin(pg_current_snapshot())
    ORDER BY xid, id LIMIT $2
  ), kept AS (
    SELECT xid, id FROM settled WHERE created_at >= $1::timestamptz ORDER BY xid, id LIMIT 1
  ), gone AS (
    DELETE FROM outbox WHERE (xid, id) IN (
      SELECT xid, id FROM settled WHERE NOT EXISTS (SELECT FROM kept WHERE (kept.xid, kept.id) <= (settled.xid, settled.id))
    ) RETURNING xid, id
  ), horizon AS (
    INSERT INTO outbox_horizon (xid, id) SELECT xid, id FROM gone ORDER BY xid DESC, id DESC LIMIT 1
    ON CONFLICT (only_row) DO UPDATE SET xid = excluded.xid, id = excluded.id
  )
  SELECT count(*) FROM gone
)sql";

constexpr int kTrimBatch = 5000;

struct Position {
  uint64_t xid = 0;
  int64_t id = 0;
  auto operator<=>(const Position&) const = default;
};

std::optional<Position> Parse(absl::string_view token) {
  if (token.empty()) return Position();
  Position position;
  const std::size_t colon = token.find(':');
  if (colon == absl::string_view::npos || !absl::SimpleAtoi(token.substr(0, colon), &position.xid) ||
      !absl::SimpleAtoi(token.substr(colon + 1), &position.id) || position.id < 0) {
    return std::nullopt;
  }
  return position;
}

}  // namespace

void Append(db::Transaction& tx, absl::string_view kind, absl::string_view key, absl::string_view payload) {
  db::ExecPrepared(tx, "outbox.append", kAppend, std::string(kind), std::string(key), db::Bytes(payload));
}

void Append(db::Transaction& tx, absl::Span<const NewEvent> events) {
  std::vector<std::string> kinds, keys, payloads;
  for (const NewEvent& event : events) {
    kinds.push_back(event.kind);
    keys.push_back(event.key);
    payloads.push_back(event.payload);
  }
  db::ExecPrepared(tx, "outbox.append_many", kAppendMany, db::TextArray(kinds), db::TextArray(keys),
                   db::BytesArray(payloads));
}

absl::StatusOr<Page> Read(db::Database& database, absl::string_view token, int limit) {
  const std::optional<Position> after = Parse(token);
  if (!after.has_value()) {
    return Error(absl::StatusCode::kInvalidArgument, "RESUME_TOKEN_INVALID",
                 "This is not a resume token of this stream: send one that it gave, or none to begin.");
  }
  return database.Read("feed.Read", [&](db::Reader& reader) -> absl::StatusOr<Page> {
    const pqxx::result rows =
        db::ExecPrepared(reader, "outbox.read", kRead, absl::StrCat(after->xid), after->id, limit);
    if (!token.empty() && rows[0]["expired"].as<bool>()) {
      return Error(
          absl::StatusCode::kOutOfRange, "RESUME_TOKEN_EXPIRED",
          "Events after this resume token are no longer kept: list the state anew, and watch from there.");
    }
    Page page{.events = {}, .next_token = std::string(token)};
    for (const pqxx::row& row : rows) {
      if (row["xid"].is_null()) break;  // the row without an event
      page.events.push_back({.token = absl::StrCat(row["xid"].c_str(), ":", row["id"].c_str()),
                             .kind = db::TextOf(row["kind"]),
                             .key = db::TextOf(row["key"]),
                             .payload = db::BytesOf(row["payload"]),
                             .created_at = db::TimeOf(row["created_at"])});
    }
    if (!page.events.empty()) page.next_token = page.events.back().token;
    return page;
  });
}

absl::StatusOr<std::string> Head(db::Database& database) {
  return database.Read("feed.Head", [](db::Reader& reader) -> absl::StatusOr<std::string> {
    return absl::StrCat(reader.exec1(kHead)[0].c_str(), ":0");
  });
}

absl::StatusOr<int64_t> Trim(db::Database& database, absl::Time before) {
  int64_t total = 0;
  while (true) {
    ASSIGN_OR_RETURN(const int64_t gone, database.RunInTransaction("feed.Trim", [&](db::Transaction& tx) {
      // One at a time, so that the horizon only moves forward.
      tx.exec("LOCK TABLE outbox_horizon IN SHARE ROW EXCLUSIVE MODE");
      return absl::StatusOr<int64_t>(
          tx.exec_params1(kTrim, db::Timestamp(before), kTrimBatch)[0].as<int64_t>());
    }));
    total += gone;
    if (gone < kTrimBatch) return total;
  }
}

bool IsAfter(absl::string_view newer, absl::string_view older) {
  return Parse(newer).value_or(Position()) > Parse(older).value_or(Position());
}

}  // namespace countersign::feed
