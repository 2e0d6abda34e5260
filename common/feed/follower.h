#ifndef COUNTERSIGN_COMMON_FEED_FOLLOWER_H_
#define COUNTERSIGN_COMMON_FEED_FOLLOWER_H_

#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "common/clock/clock.h"
#include "common/db/database.h"
#include "common/feed/outbox.h"

namespace countersign::feed {

// The consumer's side of another service's Watch: applies each event to the consumer's own database once,
// whatever breaks. The position is stored in table feed_positions (component FollowerMigrations(),
// common/feed/follower_migrations.h) in the transaction that has the effect. Several replicas may follow the
// same source: who comes second finds the position moved, takes nothing, and goes on from there.
class Follower {
 public:
  // Takes the next events of the stream, in order; returns when they are committed. `next_token` is the
  // position after them; with no events it only stores that. An error ends the stream: Watch returns it.
  using Sink = std::function<absl::Status(absl::Span<const Event> events, absl::string_view next_token)>;

  // Opens the stream after `token` ("" at first) and gives what comes to `sink` until it ends, and returns
  // why. Blocks; it must return soon after `stop` is requested (std::stop_callback with
  // ClientContext::TryCancel). Large batches make few transactions: give what is there, up to some hundred
  // events.
  using Watch = std::function<absl::Status(const std::string& token, const Sink& sink, std::stop_token stop)>;

  // Applies one event within the transaction that also moves the position. May run again: see
  // RunInTransaction. An error rolls back the batch, and the event is tried again after a delay, for ever: an
  // event that this consumer has no use for is OK.
  using Apply = std::function<absl::Status(db::Transaction& tx, const Event& event)>;

  // Called when the position is expired (OUT_OF_RANGE): brings the consumer's own data up to date by listing
  // the source's state, and returns the token to go on from, taken before that listing. Must be safe to
  // repeat.
  using Resync = std::function<absl::StatusOr<std::string>(std::stop_token stop)>;

  // What happens, for metrics: after each batch and each break of the stream.
  struct Observation {
    absl::string_view source;
    int applied;                        // events just now
    std::optional<absl::Duration> lag;  // age of the last of them
    absl::Status status;                // why the stream broke, else OK
  };

  struct Options {
    std::string source;  // the key in feed_positions, e.g. "inventory"
    Watch watch;
    Apply apply;
    Resync resync;  // without it an expired position starts again from "", the oldest event that is kept
    std::function<void(const Observation&)> observer;
    absl::Duration min_backoff = absl::Milliseconds(200);
    absl::Duration max_backoff = absl::Seconds(5);
    // Waits, or less when `stop` is requested. For tests; the default really waits.
    std::function<void(absl::Duration, std::stop_token stop)> sleep;
    const Clock* clock = &SystemClock();  // for lag
  };

  // Starts at once. `database` must outlive it.
  Follower(db::Database& database, Options options);
  ~Follower() { Stop(); }

  Follower(const Follower&) = delete;
  Follower& operator=(const Follower&) = delete;

  // Returns when the stream is closed and no transaction runs.
  void Stop();

 private:
  void Work(std::stop_token stop);
  absl::Status FollowOnce(std::stop_token stop, bool& progressed);

  db::Database& database_;
  const Options options_;
  absl::Mutex join_mutex_;
  std::jthread thread_;  // last: it uses the others
};

// The stored position of `source`, "" when there is none.
absl::StatusOr<std::string> StoredPosition(db::Database& database, absl::string_view source);

}  // namespace countersign::feed

#endif  // COUNTERSIGN_COMMON_FEED_FOLLOWER_H_
