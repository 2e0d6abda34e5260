#include "services/inventory/workers/integrity.h"

#include <utility>

#include "common/log/log.h"
#include "common/status/macros.h"

namespace countersign::inventory {
namespace {

// In one transaction: their gateways wait with their manifests meanwhile.
constexpr int kComponentsAtOnce = 500;

}  // namespace

Integrity::Integrity(PublishedImages& images, domain::QuarantinePolicy policy, const Clock& clock,
                     absl::Duration interval)
    : images_(images), policy_(std::move(policy)), clock_(clock), interval_(interval), thread_([this] {
        Work();
      }) {}

Integrity::~Integrity() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  thread_.join();
}

void Integrity::Nudge() {
  absl::MutexLock lock(&mutex_);
  nudged_ = true;
}

absl::Status Integrity::Round() {
  while (true) {
    {
      absl::MutexLock lock(&mutex_);
      if (stopping_) return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(const bool checked, images_.CheckSome(clock_.Now(), kComponentsAtOnce));
    ASSIGN_OR_RETURN(const int stopped, images_.Quarantine(policy_, clock_.Now(), kComponentsAtOnce));
    if (stopped > 0) log::Warn("modified components were ordered to stop", {{"count", stopped}});
    if (!checked && stopped < kComponentsAtOnce) return absl::OkStatus();
  }
}

void Integrity::Work() {
  while (true) {
    if (const absl::Status status = Round(); !status.ok()) {
      log::Warn("images could not be compared and will be again", {{"status", status}});
    }
    absl::MutexLock lock(&mutex_);
    const auto woken = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_ || nudged_; };
    mutex_.AwaitWithTimeout(absl::Condition(&woken), interval_);
    nudged_ = false;
    if (stopping_) return;
  }
}

}  // namespace countersign::inventory
