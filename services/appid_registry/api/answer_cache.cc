#include "services/appid_registry/api/answer_cache.h"

#include <utility>

namespace countersign::appid_registry {

// Without maps a message has one serialisation in this process, and strings in it have their lengths.
std::string AnswerCache::Key(const v1::VerifyIdentityRequest& request) { return request.SerializeAsString(); }

AnswerCache::Kept AnswerCache::Find(absl::string_view key, absl::Time now) {
  absl::MutexLock lock(&mutex_);
  const auto found = answers_.find(key);
  if (found == answers_.end()) return {};
  const Order::iterator entry = found->second;
  if (now >= entry->until) {
    Drop(entry);
    return {};
  }
  order_.splice(order_.begin(), order_, entry);
  return {entry->answer, now < entry->looked_at + reuse_, entry->revision};
}

uint64_t AnswerCache::generation() const {
  absl::MutexLock lock(&mutex_);
  return generation_;
}

void AnswerCache::Keep(std::string key, Answer answer, int64_t revision, absl::Time now, absl::Time until,
                       uint64_t generation) {
  absl::MutexLock lock(&mutex_);
  if (generation != generation_) return;
  if (const auto found = answers_.find(key); found != answers_.end()) Drop(found->second);
  order_.push_front({std::move(key), std::move(answer), revision, now, until});
  answers_[order_.front().key] = order_.begin();
  while (order_.size() > max_answers_) Drop(std::prev(order_.end()));
}

void AnswerCache::Clear() {
  absl::MutexLock lock(&mutex_);
  ++generation_;
  for (Entry& entry : order_) entry.looked_at = absl::InfinitePast();
}

void AnswerCache::Drop(Order::iterator entry) {
  answers_.erase(entry->key);
  order_.erase(entry);
}

}  // namespace countersign::appid_registry
