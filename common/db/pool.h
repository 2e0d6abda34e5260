#ifndef COUNTERSIGN_COMMON_DB_POOL_H_
#define COUNTERSIGN_COMMON_DB_POOL_H_

#include <cstdint>
#include <memory>
#include <pqxx/connection>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/db/database.h"

namespace countersign::db {

// At most max_connections connections, opened when they are needed. Thread-safe.
class Database::Pool {
 public:
  // A connection in one caller's hands; goes back to the pool when this ends, unless it was discarded.
  class Lease {
   public:
    Lease(Pool* pool, std::unique_ptr<pqxx::connection> connection, int64_t generation, bool reused)
        : pool_(pool), connection_(std::move(connection)), generation_(generation), reused_(reused) {}
    Lease(Lease&& other) = default;
    Lease& operator=(Lease&& other) = delete;
    ~Lease() {
      if (connection_ != nullptr) pool_->Release(std::move(connection_), generation_);
    }

    pqxx::connection& connection() { return *connection_; }

    // Whether it was used before: the server may have closed it since.
    bool reused() const { return reused_; }

    // It is broken: closes it, and every other that is as old, because what broke one (a restart of the
    // server) broke them all, and each would fail one caller.
    void Discard() { pool_->Discard(std::move(connection_), generation_); }

   private:
    Pool* pool_;
    std::unique_ptr<pqxx::connection> connection_;
    int64_t generation_;
    bool reused_;
  };

  explicit Pool(const Options& options);

  // Waits for a connection. RESOURCE_EXHAUSTED / DATABASE_BUSY after acquire_timeout; throws
  // pqxx::broken_connection when a new one cannot be opened.
  absl::StatusOr<Lease> Acquire();

  PoolState state() const;

 private:
  struct Idle {
    std::unique_ptr<pqxx::connection> connection;
    int64_t generation;
  };

  void Release(std::unique_ptr<pqxx::connection> connection, int64_t generation);
  void Discard(std::unique_ptr<pqxx::connection> connection, int64_t generation);
  std::unique_ptr<pqxx::connection> Open() const;

  const std::string conninfo_;
  const int max_connections_;
  const absl::Duration acquire_timeout_;
  mutable absl::Mutex mutex_;
  std::vector<Idle> idle_ ABSL_GUARDED_BY(mutex_);
  int open_ ABSL_GUARDED_BY(mutex_) = 0;
  int waiting_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t generation_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace countersign::db

#endif  // COUNTERSIGN_COMMON_DB_POOL_H_
