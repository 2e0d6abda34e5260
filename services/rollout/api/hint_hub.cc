#include "services/rollout/api/hint_hub.h"

#include <algorithm>
#include <utility>

namespace countersign::rollout {

HintHub::Subscription::~Subscription() {
  absl::MutexLock lock(&hub_.mutex_);
  const auto found = hub_.streams_.find(gateway_);
  std::vector<Subscription*>& streams = found->second;
  streams.erase(std::find(streams.begin(), streams.end(), this));
  if (streams.empty()) hub_.streams_.erase(found);
}

unsigned HintHub::Subscription::Take() {
  for (const unsigned subject : {kMetadata, kPrompts}) {
    if (pending_.fetch_and(~subject) & subject) return subject;
  }
  return 0;
}

void HintHub::Subscription::Add(unsigned subjects) {
  // Who finds hints waiting already has been woken for them.
  if ((pending_.fetch_or(subjects) & subjects) != subjects) waker_.Wake();
}

std::unique_ptr<HintHub::Subscription> HintHub::Subscribe(const std::string& gateway, rpc::Waker waker) {
  std::unique_ptr<Subscription> subscription(new Subscription(*this, gateway, std::move(waker)));
  absl::MutexLock lock(&mutex_);
  streams_[gateway].push_back(subscription.get());
  return subscription;
}

void HintHub::Publish(const std::string& gateway, unsigned subjects) {
  absl::MutexLock lock(&mutex_);
  const auto found = streams_.find(gateway);
  if (found == streams_.end()) return;
  for (Subscription* stream : found->second) stream->Add(subjects);
}

void HintHub::PublishToAll(unsigned subjects) {
  absl::MutexLock lock(&mutex_);
  for (auto& [gateway, streams] : streams_) {
    for (Subscription* stream : streams) stream->Add(subjects);
  }
}

int HintHub::streams() const {
  absl::MutexLock lock(&mutex_);
  int count = 0;
  for (const auto& [gateway, streams] : streams_) count += static_cast<int>(streams.size());
  return count;
}

}  // namespace countersign::rollout
