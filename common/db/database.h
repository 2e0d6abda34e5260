#ifndef COUNTERSIGN_COMMON_DB_DATABASE_H_
#define COUNTERSIGN_COMMON_DB_DATABASE_H_

#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/clock/clock.h"

// Only named here, so that most files compile without pqxx: who writes SQL includes "common/db/sql.h".
namespace pqxx {
class transaction_base;
class dbtransaction;
class nontransaction;
}  // namespace pqxx

namespace countersign::db {

// What a body runs its SQL on. `Session` is the common base: a function that only queries takes a `Session&`
// and serves both; one that changes something takes a `Transaction&`, so that it cannot be called outside
// one.
using Session = pqxx::transaction_base;
using Transaction = pqxx::dbtransaction;
using Reader = pqxx::nontransaction;

enum class Isolation {
  kReadCommitted,
  kRepeatableRead,
  kSerializable,
  kSnapshot,  // repeatable read, read only: several queries that see one state
};

// One finished RunInTransaction or Read, for metrics. `name` is the caller's, thus bounded.
struct Observation {
  absl::string_view name;
  absl::StatusCode outcome;
  absl::Duration latency;    // all of it: waiting for a connection, attempts, backoff
  absl::Duration pool_wait;  // of which waiting for a connection
  int attempts;              // 1 when nothing was retried
};

struct Options {
  std::string conninfo;  // libpq's, keywords or URI
  int max_connections = 8;
  absl::Duration acquire_timeout = absl::Seconds(5);     // waiting for a free connection of the pool
  absl::Duration connect_timeout = absl::Seconds(5);     // unless the conninfo has its own
  absl::Duration statement_timeout = absl::Seconds(30);  // enforced by the server for each statement
  int max_attempts = 8;                                  // of a body whose transaction cannot be serialised
  std::function<void(const Observation&)> observer;  // called on the thread that ran the body; must not block
  std::function<void(absl::Duration)> sleep;         // for the backoff; absl::SleepFor when empty
  const Clock* clock = &SystemClock();               // for latencies
};

// A PostgreSQL database behind a bounded pool. Thread-safe. A call blocks its thread until it is done, so it
// is made on an executor's thread, never in a reactor.
//
// Nothing is connected before the first call: a service may start before its database, and is ready when
// Ping() is OK.
//
// No exception leaves this class. What pqxx throws, in a body too, becomes one of (reason in the ErrorInfo):
//   ALREADY_EXISTS / UNIQUE_VIOLATION              ConstraintOf(status) names the constraint
//   FAILED_PRECONDITION / CONSTRAINT_VIOLATION     any other constraint, same
//   INVALID_ARGUMENT / INVALID_TEXT                text which is not UTF-8 or has a NUL
//   ABORTED / SERIALIZATION_CONFLICT               still in conflict with other transactions after
//   max_attempts RESOURCE_EXHAUSTED / DATABASE_BUSY             no connection was free within acquire_timeout
//   RESOURCE_EXHAUSTED / DATABASE_FULL             the server's disk is full
//   DEADLINE_EXCEEDED / STATEMENT_TIMEOUT          a statement ran longer than statement_timeout
//   UNAVAILABLE / DATABASE_UNAVAILABLE             no connection, or it broke before COMMIT: nothing was
//   changed UNKNOWN / OUTCOME_UNKNOWN                      it broke during COMMIT: changed or not; read
//   before trying again INTERNAL / DATABASE_ERROR                      all else; the detail is in the log
//   only
class Database {
 public:
  explicit Database(Options options);
  ~Database();  // all calls must have returned

  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // OK when the database answers a query.
  absl::Status Ping();

  // Runs `body`, a callable from `Transaction&` to absl::Status or absl::StatusOr<T>, in a transaction, and
  // returns what it returned. OK commits; an error rolls back, also when it is the body's own. `body` runs
  // again, from its start and in a new transaction, when the last one lost against others (40001, 40P01): it
  // must have no other effect than its SQL, and reset what it captured. It must let pqxx's exceptions pass,
  // and must not commit or abort by itself. What it sets in the session it sets with SET LOCAL: connections
  // are shared and replaced. `name` is a constant, e.g. "CreateRollout": it goes to metrics and the log.
  template <typename Body>
  auto RunInTransaction(absl::string_view name, Isolation isolation, Body&& body)
      -> std::decay_t<std::invoke_result_t<Body&, Transaction&>> {
    using Result = std::decay_t<std::invoke_result_t<Body&, Transaction&>>;
    if constexpr (std::is_same_v<Result, absl::Status>) {
      return RunErased(name, isolation, body);
    } else {
      Result result = absl::InternalError("the body did not run");
      absl::Status status = RunErased(name, isolation, [&](Transaction& tx) {
        result = body(tx);
        return result.status();
      });
      if (!status.ok()) return status;
      return result;
    }
  }

  // The usual one.
  template <typename Body>
  auto RunInTransaction(absl::string_view name, Body&& body) {
    return RunInTransaction(name, Isolation::kReadCommitted, std::forward<Body>(body));
  }

  // Runs `body`, a callable from `Reader&` to absl::Status or absl::StatusOr<T>, with every statement on its
  // own, which saves the round trips of BEGIN and COMMIT. For reads only: it runs again when the connection
  // turns out to be broken. Two queries may see different states; where that matters, RunInTransaction with
  // Isolation::kSnapshot.
  template <typename Body>
  auto Read(absl::string_view name, Body&& body) -> std::decay_t<std::invoke_result_t<Body&, Reader&>> {
    using Result = std::decay_t<std::invoke_result_t<Body&, Reader&>>;
    if constexpr (std::is_same_v<Result, absl::Status>) {
      return ReadErased(name, body);
    } else {
      Result result = absl::InternalError("the body did not run");
      absl::Status status = ReadErased(name, [&](Reader& reader) {
        result = body(reader);
        return result.status();
      });
      if (!status.ok()) return status;
      return result;
    }
  }

  struct PoolState {
    int open;  // connections, idle or in use
    int idle;
    int waiting;  // callers
  };
  PoolState pool_state() const;

 private:
  class Pool;
  class Call;

  absl::Status RunErased(absl::string_view name, Isolation isolation,
                         absl::FunctionRef<absl::Status(Transaction&)> body);
  absl::Status ReadErased(absl::string_view name, absl::FunctionRef<absl::Status(Reader&)> body);

  const Options options_;
  const std::unique_ptr<Pool> pool_;
};

// The name of the constraint that a status from above speaks of, e.g. "rollouts_pkey"; "" when there is none.
// It stays within the process: only ErrorInfo travels to clients.
std::string ConstraintOf(const absl::Status& status);

}  // namespace countersign::db

#endif  // COUNTERSIGN_COMMON_DB_DATABASE_H_
