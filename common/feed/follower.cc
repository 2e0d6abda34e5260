#include "common/feed/follower.h"

#include <algorithm>
#include <utility>

#include "absl/random/random.h"
#include "common/db/sql.h"
#include "common/log/log.h"
#include "common/status/errors.h"
#include "common/status/macros.h"

namespace countersign::feed {
namespace {

constexpr char kSelect[] = "SELECT token FROM feed_positions WHERE source = $1";

// Makes the row at first, so that there is always one to lock.
constexpr char kCreate[] =
    "INSERT INTO feed_positions (source, token) VALUES ($1, '') ON CONFLICT DO NOTHING";

constexpr char kLock[] = "SELECT token FROM feed_positions WHERE source = $1 FOR UPDATE";

constexpr char kMove[] = "UPDATE feed_positions SET token = $2, updated_at = now() WHERE source = $1";

// Another replica that follows the same source was first. Not a failure, but a reason to look where it is
// now.
constexpr char kMoved[] = "FEED_POSITION_MOVED";

// Moves the position from `from` to `to` in the transaction of `apply`.
absl::Status Advance(db::Database& database, const std::string& source, const std::string& from,
                     const std::string& to, const std::function<absl::Status(db::Transaction&)>& apply) {
  return database.RunInTransaction("feed.Apply", [&](db::Transaction& tx) -> absl::Status {
    const pqxx::result row = db::ExecPrepared(tx, "feed_positions.lock", kLock, source);
    if (row.empty() || db::TextOf(row[0][0]) != from) {
      return Error(absl::StatusCode::kAborted, kMoved, "Another replica has applied these events.");
    }
    RETURN_IF_ERROR(apply(tx));
    db::ExecPrepared(tx, "feed_positions.move", kMove, source, to);
    return absl::OkStatus();
  });
}

absl::StatusOr<std::string> Begin(db::Database& database, const std::string& source) {
  ASSIGN_OR_RETURN(const std::string token, StoredPosition(database, source));
  if (!token.empty()) return token;
  RETURN_IF_ERROR(database.RunInTransaction("feed.Begin", [&](db::Transaction& tx) {
    tx.exec_params0(kCreate, source);
    return absl::OkStatus();
  }));
  return StoredPosition(database, source);
}

void WaitFor(absl::Duration delay, std::stop_token stop) {
  absl::Mutex mutex;
  bool stopped = false;
  std::stop_callback on_stop(stop, [&] {
    absl::MutexLock lock(&mutex);
    stopped = true;
  });
  absl::MutexLock lock(&mutex);
  mutex.AwaitWithTimeout(absl::Condition(&stopped), delay);
}

}  // namespace

absl::StatusOr<std::string> StoredPosition(db::Database& database, absl::string_view source) {
  return database.Read("feed.Position", [&](db::Reader& reader) -> absl::StatusOr<std::string> {
    const pqxx::result row = reader.exec_params(kSelect, std::string(source));
    return row.empty() ? std::string() : db::TextOf(row[0][0]);
  });
}

Follower::Follower(db::Database& database, Options options)
    : database_(database),
      options_([](Options given) {
        if (!given.sleep) given.sleep = WaitFor;
        if (!given.observer) given.observer = [](const Observation&) {};
        return given;
      }(std::move(options))),
      thread_([this](std::stop_token stop) { Work(std::move(stop)); }) {}

void Follower::Stop() {
  absl::MutexLock lock(&join_mutex_);
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

void Follower::Work(std::stop_token stop) {
  absl::BitGen bits;
  absl::Duration backoff = options_.min_backoff;
  while (!stop.stop_requested()) {
    bool progressed = false;
    const absl::Status status = FollowOnce(stop, progressed);
    if (stop.stop_requested()) return;
    options_.observer({.source = options_.source, .applied = 0, .lag = std::nullopt, .status = status});
    if (progressed) backoff = options_.min_backoff;
    if (!status.ok() && ReasonOf(status) != kMoved) {
      log::Warn("feed interrupted", {{"source", options_.source}, {"status", status}, {"retry_in", backoff}});
    }
    options_.sleep(backoff * absl::Uniform(bits, 0.5, 1.0), stop);
    backoff = std::min(backoff * 2, options_.max_backoff);
  }
}

absl::Status Follower::FollowOnce(std::stop_token stop, bool& progressed) {
  ASSIGN_OR_RETURN(std::string position, Begin(database_, options_.source));
  const Sink sink = [&](absl::Span<const Event> events, absl::string_view next_token) -> absl::Status {
    if (stop.stop_requested()) return absl::CancelledError("the follower stops");
    const std::string next(next_token);
    if (events.empty() && next == position) return absl::OkStatus();
    RETURN_IF_ERROR(
        Advance(database_, options_.source, position, next, [&](db::Transaction& tx) -> absl::Status {
          for (const Event& event : events) RETURN_IF_ERROR(options_.apply(tx, event));
          return absl::OkStatus();
        }));
    position = next;
    progressed = true;
    Observation observation{.source = options_.source,
                            .applied = static_cast<int>(events.size()),
                            .lag = std::nullopt,
                            .status = absl::OkStatus()};
    if (!events.empty()) observation.lag = options_.clock->Now() - events.back().created_at;
    options_.observer(observation);
    return absl::OkStatus();
  };
  const absl::Status status = options_.watch(position, sink, stop);
  if (status.code() != absl::StatusCode::kOutOfRange || stop.stop_requested()) return status;

  log::Warn("feed position expired: reading the state anew", {{"source", options_.source}});
  std::string token;
  if (options_.resync) {
    ASSIGN_OR_RETURN(token, options_.resync(stop));
  }
  RETURN_IF_ERROR(Advance(database_, options_.source, position, token,
                          [](db::Transaction&) { return absl::OkStatus(); }));
  progressed = true;
  return absl::OkStatus();
}

}  // namespace countersign::feed
