#ifndef COUNTERSIGN_COMMON_FEED_TAIL_H_
#define COUNTERSIGN_COMMON_FEED_TAIL_H_

#include <cstdint>
#include <functional>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/db/database.h"

namespace countersign::feed {

// Tells Watch streams when the outbox has something new, so that waiting takes neither a thread nor a query
// of each. One per service. A stream's pull generator goes: Read(database, token, n); if it got events, send
// them and go on; else OnNews(token, wake) and return until `wake`. How far a watcher is behind costs nothing
// here: it reads from the table.
//
// One thread asks for the newest position while somebody waits, and does nothing while nobody does.
// Thread-safe.
class Tail {
 public:
  struct Options {
    absl::Duration interval = absl::Milliseconds(100);
  };
  using WaitId = int64_t;
  using Callback = std::function<void(const absl::Status& status)>;

  Tail(db::Database& database, Options options);
  explicit Tail(db::Database& database) : Tail(database, Options()) {}
  ~Tail() { Stop(); }

  Tail(const Tail&) = delete;
  Tail& operator=(const Tail&) = delete;

  // Calls `callback` once, on the tail's thread: with OK when there are events after `token` ("" is the
  // beginning), with UNAVAILABLE / SHUTTING_DOWN when the tail stops. (Once it has stopped, at once and on
  // this thread.) It must not block: hand the reading to the executor.
  WaitId OnNews(absl::string_view token, Callback callback);

  // True: the callback has not been called and will not be. False: it has been, or is being called just now.
  bool Cancel(WaitId id);

  // Something was committed here: look now and not at the next interval.
  void Nudge();

  // Calls what waits, with UNAVAILABLE, and ends the thread. Not to be called from a callback.
  void Stop();

 private:
  struct Wait {
    std::string token;
    Callback callback;
  };

  void Work();

  db::Database& database_;
  const Options options_;
  absl::Mutex mutex_;
  absl::flat_hash_map<WaitId, Wait> waits_ ABSL_GUARDED_BY(mutex_);
  WaitId next_id_ ABSL_GUARDED_BY(mutex_) = 1;
  bool nudged_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Mutex join_mutex_;
  std::thread thread_;  // last: it uses the others
};

}  // namespace countersign::feed

#endif  // COUNTERSIGN_COMMON_FEED_TAIL_H_
