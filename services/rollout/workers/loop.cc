#include "services/rollout/workers/loop.h"

#include <algorithm>
#include <utility>

#include "common/log/log.h"

namespace countersign::rollout {
namespace {

constexpr absl::Duration kMinBackoff = absl::Milliseconds(200);
constexpr absl::Duration kMaxBackoff = absl::Seconds(5);

}  // namespace

Loop::Loop(std::string name, absl::Duration interval, Round round)
    : name_(std::move(name)),
      interval_(interval),
      round_(std::move(round)),
      thread_([this](std::stop_token stop) { Work(std::move(stop)); }) {}

void Loop::Nudge() {
  absl::MutexLock lock(&mutex_);
  nudged_ = true;
}

void Loop::Stop() {
  absl::MutexLock lock(&join_mutex_);
  thread_.request_stop();
  Nudge();
  if (thread_.joinable()) thread_.join();
}

void Loop::Wait(absl::Duration delay) {
  absl::MutexLock lock(&mutex_);
  mutex_.AwaitWithTimeout(absl::Condition(&nudged_), delay);
  nudged_ = false;
}

void Loop::Work(std::stop_token stop) {
  absl::Duration backoff = kMinBackoff;
  while (!stop.stop_requested()) {
    const absl::StatusOr<bool> more = round_(stop);
    if (stop.stop_requested()) return;
    if (more.ok()) {
      backoff = kMinBackoff;
      if (!*more) Wait(interval_);
      continue;
    }
    log::Warn("a round of work failed and will be tried again",
              {{"worker", name_}, {"status", more.status()}, {"retry_in", backoff}});
    Wait(backoff);
    backoff = std::min(backoff * 2, kMaxBackoff);
  }
}

}  // namespace countersign::rollout
