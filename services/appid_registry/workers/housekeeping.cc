#include "services/appid_registry/workers/housekeeping.h"

#include <utility>

#include "common/db/request_ids.h"
#include "common/log/log.h"

namespace countersign::appid_registry {

Housekeeping::Housekeeping(db::Database& database, Options options)
    : database_(database), options_(std::move(options)), thread_([this] { Work(); }) {}

Housekeeping::~Housekeeping() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  thread_.join();
}

void Housekeeping::Work() {
  while (true) {
    {
      absl::MutexLock lock(&mutex_);
      mutex_.AwaitWithTimeout(absl::Condition(&stopping_), options_.interval);
      if (stopping_) return;
    }
    const auto purged = db::PurgeRequestIds(database_, options_.clock->Now() - options_.request_id_retention);
    if (!purged.ok()) log::Warn("old request ids could not be deleted", {{"status", purged.status()}});
  }
}

}  // namespace countersign::appid_registry
