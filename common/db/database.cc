#include "common/db/database.h"

#include <algorithm>
#include <exception>
#include <pqxx/pqxx>
#include <string>

#include "absl/random/random.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/db/pool.h"
#include "common/log/log.h"
#include "common/status/errors.h"

namespace countersign::db {
namespace {

constexpr char kConstraintUrl[] = "countersign.db/constraint";
constexpr absl::Duration kFirstBackoff = absl::Milliseconds(2);
constexpr absl::Duration kLastBackoff = absl::Milliseconds(250);

enum class Phase {
  kBegin,   // the body has not run
  kBody,    // nothing can have been committed
  kCommit,  // everything may have been
};

struct Failure {
  absl::Status status;
  bool broken = false;    // the connection is of no more use
  bool conflict = false;  // the transaction lost against another: it may run again
};

absl::Status Unavailable() {
  return Error(absl::StatusCode::kUnavailable, "DATABASE_UNAVAILABLE",
               "The database cannot be reached just now; nothing was changed. Try again.");
}

absl::Status InDoubt() {
  return Error(
      absl::StatusCode::kUnknown, "OUTCOME_UNKNOWN",
      "The connection to the database broke while the change was being committed: it may have been made or "
      "not. Read the state, or repeat the request with the same request_id.");
}

Failure Broken(Phase phase) {
  return {.status = phase == Phase::kCommit ? InDoubt() : Unavailable(), .broken = true};
}

Failure Conflict() {
  return {.status = Error(absl::StatusCode::kAborted, "SERIALIZATION_CONFLICT",
                          "Too many concurrent changes of the same data; try again after a delay."),
          .conflict = true};
}

// The name in: violates unique constraint "name". pqxx 6 does not pass on the server's field for it.
std::string ConstraintName(absl::string_view message) {
  constexpr absl::string_view kBefore = "constraint \"";
  const std::size_t begin = message.find(kBefore);
  if (begin == absl::string_view::npos) return "";
  message.remove_prefix(begin + kBefore.size());
  return std::string(message.substr(0, message.find('"')));
}

Failure Violation(absl::StatusCode code, absl::string_view reason, absl::string_view message,
                  const pqxx::sql_error& error) {
  absl::Status status = Error(code, reason, message);
  if (std::string name = ConstraintName(error.what()); !name.empty()) {
    status.SetPayload(kConstraintUrl, absl::Cord(name));
  }
  return {.status = status};
}

Failure Unexpected(absl::string_view name, absl::string_view sqlstate, absl::string_view detail) {
  log::Error(
      "database call failed",
      {{"call", std::string(name)}, {"sqlstate", std::string(sqlstate)}, {"detail", std::string(detail)}});
  return {.status = Error(absl::StatusCode::kInternal, "DATABASE_ERROR",
                          "The database refused a statement; the server's log has the detail.")};
}

Failure FromSqlError(absl::string_view name, Phase phase, const pqxx::sql_error& error) {
  const std::string& state = error.sqlstate();
  if (state == "40001" || state == "40P01") return Conflict();
  if (state == "23505") {
    return Violation(absl::StatusCode::kAlreadyExists, "UNIQUE_VIOLATION",
                     "Something with the same unique name exists already; choose another.", error);
  }
  if (absl::StartsWith(state, "23")) {
    return Violation(absl::StatusCode::kFailedPrecondition, "CONSTRAINT_VIOLATION",
                     "The change does not fit the data that is stored; read it again.", error);
  }
  if (state == "22021" || state == "22P05") {
    return {.status = Error(absl::StatusCode::kInvalidArgument, "INVALID_TEXT",
                            "A text is not UTF-8, or contains the character NUL.")};
  }
  if (state == "57014") {
    // A cancelled COMMIT may have been written.
    if (phase == Phase::kCommit) return {.status = InDoubt(), .broken = true};
    return {.status =
                Error(absl::StatusCode::kDeadlineExceeded, "STATEMENT_TIMEOUT",
                      "The database took too long for one statement; ask for less, or try again later.")};
  }
  if (state == "55P03") {
    return {.status = Error(absl::StatusCode::kAborted, "LOCK_NOT_AVAILABLE",
                            "Another change holds what this one needs; try again after a delay.")};
  }
  if (state == "53100") {
    log::Error("database has no space left", {{"call", std::string(name)}, {"detail", error.what()}});
    return {.status =
                Error(absl::StatusCode::kResourceExhausted, "DATABASE_FULL",
                      "The database has no space left; nothing was changed. Its operator must make room.")};
  }
  // Resources; the operator intervened; connection exceptions; and a server that became read-only is a
  // standby now.
  if (absl::StartsWith(state, "53") || absl::StartsWith(state, "57P") || absl::StartsWith(state, "08") ||
      state == "25P03" || state == "25006") {
    return Broken(phase);
  }
  return Unexpected(name, state, error.what());
}

// What the exception in flight means; to be called in a catch block.
Failure FromException(absl::string_view name, Phase phase) {
  try {
    throw;
  } catch (const pqxx::in_doubt_error&) {
    return {.status = InDoubt(), .broken = true};
  } catch (const pqxx::statement_completion_unknown&) {
    return {.status = InDoubt(), .broken = true};
  } catch (const pqxx::broken_connection& error) {
    if (phase == Phase::kBegin) {
      log::Warn("database connection failed", {{"call", std::string(name)}, {"detail", error.what()}});
    }
    return Broken(phase);
  } catch (const pqxx::serialization_failure&) {
    return Conflict();
  } catch (const pqxx::deadlock_detected&) {
    return Conflict();
  } catch (const pqxx::sql_error& error) {
    return FromSqlError(name, phase, error);
  } catch (const std::exception& error) {
    return Unexpected(name, "", error.what());
  } catch (...) {
    return Unexpected(name, "", "an exception of an unknown type");
  }
}

template <typename Tx>
Failure RunIn(absl::string_view name, pqxx::connection& connection,
              absl::FunctionRef<absl::Status(Transaction&)> body, Phase& phase) {
  try {
    Tx tx(connection);
    phase = Phase::kBody;
    absl::Status status = body(tx);
    if (!status.ok()) return {.status = std::move(status)};  // ~Tx rolls back
    phase = Phase::kCommit;
    tx.commit();
    return {};
  } catch (...) {
    Failure failure = FromException(name, phase);
    // After FATAL errors of other codes the server is gone, too.
    if (!connection.is_open() && !failure.broken) return Broken(phase);
    return failure;
  }
}

Failure RunIn(Isolation isolation, absl::string_view name, pqxx::connection& connection,
              absl::FunctionRef<absl::Status(Transaction&)> body, Phase& phase) {
  switch (isolation) {
    case Isolation::kReadCommitted:
      return RunIn<pqxx::transaction<pqxx::read_committed>>(name, connection, body, phase);
    case Isolation::kRepeatableRead:
      return RunIn<pqxx::transaction<pqxx::repeatable_read>>(name, connection, body, phase);
    case Isolation::kSerializable:
      return RunIn<pqxx::transaction<pqxx::serializable>>(name, connection, body, phase);
    case Isolation::kSnapshot:
      return RunIn<pqxx::transaction<pqxx::repeatable_read, pqxx::read_only>>(name, connection, body, phase);
  }
  return {.status = absl::InvalidArgumentError("no such isolation level")};
}

Failure RunWithout(absl::string_view name, pqxx::connection& connection,
                   absl::FunctionRef<absl::Status(Reader&)> body) {
  try {
    Reader reader(connection);
    return {.status = body(reader)};
  } catch (...) {
    Failure failure = FromException(name, Phase::kBody);
    if (!connection.is_open() && !failure.broken) return Broken(Phase::kBody);
    return failure;
  }
}

absl::Duration Backoff(int attempt) {
  thread_local absl::BitGen bits;
  const absl::Duration ceiling = std::min(kLastBackoff, kFirstBackoff * (1 << std::min(attempt - 1, 10)));
  return ceiling * absl::Uniform(bits, 0.5, 1.0);
}

}  // namespace

Database::Database(Options options)
    : options_([](Options given) {
        if (!given.sleep) given.sleep = [](absl::Duration delay) { absl::SleepFor(delay); };
        return given;
      }(std::move(options))),
      pool_(std::make_unique<Pool>(options_)) {}

Database::~Database() = default;

Database::PoolState Database::pool_state() const { return pool_->state(); }

// Makes the attempts of one call: `attempt` runs on a connection, and says in `phase` how far it came.
class Database::Call {
 public:
  Call(Database& database, absl::string_view name)
      : database_(database), name_(name), begin_(database.options_.clock->Now()) {}

  template <typename Attempt>
  absl::Status Run(Attempt attempt, Phase retry_broken_until) {
    absl::Status status = RunUnobserved(attempt, retry_broken_until);
    if (database_.options_.observer) {
      database_.options_.observer({.name = name_,
                                   .outcome = status.code(),
                                   .latency = database_.options_.clock->Now() - begin_,
                                   .pool_wait = pool_wait_,
                                   .attempts = attempts_});
    }
    return status;
  }

 private:
  // A connection from the pool may have died in its sleep: as long as it came no further than
  // `retry_broken_until`, another one is tried. That ends, because the next is new, or fails to connect.
  template <typename Attempt>
  absl::Status RunUnobserved(Attempt& attempt, Phase retry_broken_until) {
    while (true) {
      try {
        const absl::Time asked = database_.options_.clock->Now();
        absl::StatusOr<Pool::Lease> lease = database_.pool_->Acquire();
        pool_wait_ += database_.options_.clock->Now() - asked;
        if (!lease.ok()) return lease.status();
        Phase phase = Phase::kBegin;
        ++attempts_;
        Failure failure = attempt(lease->connection(), phase);
        const bool try_another = failure.broken && lease->reused() && phase <= retry_broken_until;
        if (failure.broken || !lease->connection().is_open()) lease->Discard();
        if (try_another) continue;
        if (!failure.conflict || attempts_ >= database_.options_.max_attempts) return failure.status;
      } catch (...) {
        return FromException(name_, Phase::kBegin).status;
      }
      database_.options_.sleep(Backoff(attempts_));  // without holding a connection
    }
  }

  Database& database_;
  const absl::string_view name_;
  const absl::Time begin_;
  absl::Duration pool_wait_;
  int attempts_ = 0;
};

absl::Status Database::RunErased(absl::string_view name, Isolation isolation,
                                 absl::FunctionRef<absl::Status(Transaction&)> body) {
  return Call(*this, name)
      .Run([&](pqxx::connection& connection,
               Phase& phase) { return RunIn(isolation, name, connection, body, phase); },
           Phase::kBegin);
}

absl::Status Database::ReadErased(absl::string_view name, absl::FunctionRef<absl::Status(Reader&)> body) {
  return Call(*this, name)
      .Run(
          [&](pqxx::connection& connection, Phase& phase) {
            // There is no commit that could be in doubt.
            phase = Phase::kBody;
            return RunWithout(name, connection, body);
          },
          Phase::kBody);
}

absl::Status Database::Ping() {
  return Read("Ping", [](Reader& reader) {
    reader.exec("SELECT 1");
    return absl::OkStatus();
  });
}

std::string ConstraintOf(const absl::Status& status) {
  const absl::optional<absl::Cord> payload = status.GetPayload(kConstraintUrl);
  return payload.has_value() ? std::string(*payload) : "";
}

}  // namespace countersign::db
