#include "common/worker/periodic.h"

#include <utility>

#include "common/log/log.h"

namespace countersign {

Periodic::Periodic(absl::string_view name, absl::Duration interval, std::function<absl::Status()> round)
    : name_(name), interval_(interval), round_(std::move(round)), thread_([this] { Work(); }) {}

Periodic::~Periodic() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  thread_.join();
}

void Periodic::Work() {
  while (true) {
    if (const absl::Status status = round_(); !status.ok()) {
      log::Error("a round failed and will be tried again", {{"worker", name_}, {"status", status}});
    }
    absl::MutexLock lock(&mutex_);
    if (mutex_.AwaitWithTimeout(absl::Condition(&stopping_), interval_)) return;
  }
}

}  // namespace countersign
