#include "common/feed/tail.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/db/sql.h"
#include "common/feed/outbox.h"
#include "common/log/log.h"
#include "common/status/errors.h"

namespace countersign::feed {
namespace {

// The end of an index: as cheap as a query can be.
constexpr char kNewest[] = R"sql(
  SELECT xid, id FROM outbox WHERE xid < pg_snapshot_xmin(pg_current_snapshot()) ORDER BY xid DESC, id DESC LIMIT 1
)sql";

absl::StatusOr<std::string> Newest(db::Database& database) {
  return database.Read("feed.Newest", [](db::Reader& reader) -> absl::StatusOr<std::string> {
    const pqxx::result rows = db::ExecPrepared(reader, "outbox.newest", kNewest);
    if (rows.empty()) return "";
    return absl::StrCat(rows[0]["xid"].c_str(), ":", rows[0]["id"].c_str());
  });
}

absl::Status ShuttingDown() {
  return Error(absl::StatusCode::kUnavailable, "SHUTTING_DOWN",
               "This replica is shutting down: connect again, and resume from the last token.");
}

}  // namespace

Tail::Tail(db::Database& database, Options options)
    : database_(database), options_(options), thread_([this] { Work(); }) {}

Tail::WaitId Tail::OnNews(absl::string_view token, Callback callback) {
  WaitId id;
  {
    absl::MutexLock lock(&mutex_);
    id = next_id_++;
    if (!stopping_) {
      waits_[id] = {std::string(token), std::move(callback)};
      // What it waits for may have been there before it waited.
      nudged_ = true;
      return id;
    }
  }
  callback(ShuttingDown());
  return id;
}

bool Tail::Cancel(WaitId id) {
  absl::MutexLock lock(&mutex_);
  return waits_.erase(id) > 0;
}

void Tail::Nudge() {
  absl::MutexLock lock(&mutex_);
  nudged_ = true;
}

void Tail::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  absl::MutexLock lock(&join_mutex_);
  if (thread_.joinable()) thread_.join();
}

void Tail::Work() {
  bool failing = false;
  bool stopping = false;
  std::vector<Callback> due;
  while (!stopping) {
    due.clear();
    {
      absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(
          +[](Tail* self) ABSL_EXCLUSIVE_LOCKS_REQUIRED(self->mutex_) {
            return self->stopping_ || !self->waits_.empty();
          },
          this));
      mutex_.AwaitWithTimeout(absl::Condition(
                                  +[](Tail* self) ABSL_EXCLUSIVE_LOCKS_REQUIRED(self->mutex_) {
                                    return self->stopping_ || self->nudged_;
                                  },
                                  this),
                              options_.interval);
      nudged_ = false;
      stopping = stopping_;
      if (stopping) {
        for (auto& [id, wait] : waits_) due.push_back(std::move(wait.callback));
        waits_.clear();
      }
    }
    if (stopping) {
      for (const Callback& callback : due) callback(ShuttingDown());
      break;
    }
    const absl::StatusOr<std::string> newest = Newest(database_);
    if (newest.ok() == failing) {
      failing = !newest.ok();
      if (failing) {
        log::Warn("change feed cannot be read", {{"status", newest.status()}});
      } else {
        log::Info("change feed can be read again");
      }
    }
    if (!newest.ok()) continue;
    {
      absl::MutexLock lock(&mutex_);
      absl::erase_if(waits_, [&](auto& entry) {
        if (!IsAfter(*newest, entry.second.token)) return false;
        due.push_back(std::move(entry.second.callback));
        return true;
      });
    }
    for (const Callback& callback : due) callback(absl::OkStatus());
  }
}

}  // namespace countersign::feed
