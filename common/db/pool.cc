#include "common/db/pool.h"

#include <postgresql/libpq-fe.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/status/errors.h"

namespace countersign::db {
namespace {

// The caller's conninfo with what every session of ours needs. It is set by the connection's start-up packet,
// because what is SET later is lost in a reconnection. An unreadable conninfo stays as it is: connecting will
// say what is wrong.
std::string CompleteConninfo(const Options& options) {
  std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> parsed(
      PQconninfoParse(options.conninfo.c_str(), nullptr), &PQconninfoFree);
  if (parsed == nullptr) return options.conninfo;
  std::map<std::string, std::string> values = {
      {"application_name", "countersign"},
      {"connect_timeout", absl::StrCat(std::max<int64_t>(2, absl::ToInt64Seconds(options.connect_timeout)))},
      {"client_encoding", "UTF8"},
      {"keepalives_idle", "30"},
      {"keepalives_interval", "10"},
      {"keepalives_count", "3"},
      // A partition in the middle of a statement is noticed although we are the side that sends.
      {"tcp_user_timeout", "60000"},
  };
  for (const PQconninfoOption* option = parsed.get(); option->keyword != nullptr; ++option) {
    if (option->val != nullptr) values[option->keyword] = option->val;
  }
  const std::string ours = absl::StrCat(
      "-c timezone=UTC -c datestyle=ISO -c bytea_output=hex -c client_min_messages=warning -c "
      "statement_timeout=",
      absl::ToInt64Milliseconds(options.statement_timeout),
      // A transaction that hangs holds up the outbox of everyone.
      " -c idle_in_transaction_session_timeout=60000");
  std::string& theirs = values["options"];
  theirs = theirs.empty() ? ours : absl::StrCat(ours, " ", theirs);  // the last one wins
  std::string conninfo;
  for (const auto& [keyword, value] : values) {
    absl::StrAppend(&conninfo, conninfo.empty() ? "" : " ", keyword, "='",
                    absl::StrReplaceAll(value, {{"\\", "\\\\"}, {"'", "\\'"}}), "'");
  }
  return conninfo;
}

}  // namespace

Database::Pool::Pool(const Options& options)
    : conninfo_(CompleteConninfo(options)),
      max_connections_(std::max(1, options.max_connections)),
      acquire_timeout_(options.acquire_timeout) {}

std::unique_ptr<pqxx::connection> Database::Pool::Open() const {
  auto connection = std::make_unique<pqxx::connection>(conninfo_);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  // pqxx 6 would reconnect by itself in the middle of things; only the pool knows when that is right.
  connection->inhibit_reactivation(true);
#pragma GCC diagnostic pop
  return connection;
}

absl::StatusOr<Database::Pool::Lease> Database::Pool::Acquire() {
  int64_t generation;
  {
    absl::MutexLock lock(&mutex_);
    ++waiting_;
    const bool free =
        mutex_.AwaitWithTimeout(absl::Condition(
                                    +[](Pool* pool) ABSL_EXCLUSIVE_LOCKS_REQUIRED(pool->mutex_) {
                                      return !pool->idle_.empty() || pool->open_ < pool->max_connections_;
                                    },
                                    this),
                                acquire_timeout_);
    --waiting_;
    if (!free) {
      return Error(absl::StatusCode::kResourceExhausted, "DATABASE_BUSY",
                   "All connections to the database are in use; try again after a delay.");
    }
    if (!idle_.empty()) {
      // The last one back is the one whose caches are warm.
      Idle idle = std::move(idle_.back());
      idle_.pop_back();
      return Lease(this, std::move(idle.connection), idle.generation, /*reused=*/true);
    }
    ++open_;
    generation = generation_;
  }
  try {
    return Lease(this, Open(), generation, /*reused=*/false);
  } catch (...) {
    absl::MutexLock lock(&mutex_);
    --open_;
    throw;
  }
}

void Database::Pool::Release(std::unique_ptr<pqxx::connection> connection, int64_t generation) {
  const bool usable = connection->is_open();
  {
    absl::MutexLock lock(&mutex_);
    if (usable && generation == generation_) {
      idle_.push_back({std::move(connection), generation});
      return;
    }
  }
  // Closing talks to the server, so it is done without the lock, but before another may take its place.
  connection.reset();
  absl::MutexLock lock(&mutex_);
  --open_;
}

void Database::Pool::Discard(std::unique_ptr<pqxx::connection> connection, int64_t generation) {
  std::vector<Idle> stale;
  {
    absl::MutexLock lock(&mutex_);
    if (generation == generation_) {
      ++generation_;
      stale.swap(idle_);
    }
  }
  const int closed = static_cast<int>(stale.size()) + 1;
  stale.clear();
  connection.reset();
  absl::MutexLock lock(&mutex_);
  open_ -= closed;
}

Database::PoolState Database::Pool::state() const {
  absl::MutexLock lock(&mutex_);
  return {open_, static_cast<int>(idle_.size()), waiting_};
}

}  // namespace countersign::db
