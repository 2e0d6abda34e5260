#include "services/consent/workers/housekeeping.h"

#include <string>
#include <vector>

#include "common/db/request_ids.h"
#include "common/feed/outbox.h"
#include "common/log/log.h"
#include "common/status/macros.h"

namespace countersign::consent {
namespace {

constexpr int kGatewaysAtATime = 500;
constexpr absl::Duration kForgetInterval = absl::Hours(1);

}  // namespace

Housekeeping::Housekeeping(db::Database& database, ConsentStore& store, feed::Tail& tail, Options options)
    : database_(database), store_(store), tail_(tail), options_(options), thread_([this] { Work(); }) {}

Housekeeping::~Housekeeping() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  thread_.join();
}

void Housekeeping::Work() {
  absl::Time next_forget = absl::InfinitePast();
  while (true) {
    {
      absl::MutexLock lock(&mutex_);
      if (mutex_.AwaitWithTimeout(absl::Condition(&stopping_), options_.interval)) return;
    }
    if (const absl::Status status = ApplyDue(); !status.ok()) {
      log::Warn("what is due could not be decided; it is tried again", {{"status", status}});
    }
    if (options_.clock->Now() < next_forget) continue;
    next_forget = options_.clock->Now() + kForgetInterval;
    if (const absl::Status status = Forget(); !status.ok()) {
      log::Warn("old events could not be forgotten; it is tried again", {{"status", status}});
    }
  }
}

absl::Status Housekeeping::ApplyDue() {
  const absl::Time now = options_.clock->Now();
  ASSIGN_OR_RETURN(const std::vector<std::string> gateways, store_.DueGateways(now, kGatewaysAtATime));
  for (const std::string& gateway : gateways) {
    RETURN_IF_ERROR(
        store_.Change("ApplyDue", {gateway}, now, [](Changes&) -> absl::Status { return absl::OkStatus(); }));
  }
  if (!gateways.empty()) tail_.Nudge();
  return absl::OkStatus();
}

absl::Status Housekeeping::Forget() {
  const absl::Time now = options_.clock->Now();
  RETURN_IF_ERROR(feed::Trim(database_, now - options_.event_retention).status());
  return db::PurgeRequestIds(database_, now - options_.request_id_retention).status();
}

}  // namespace countersign::consent
