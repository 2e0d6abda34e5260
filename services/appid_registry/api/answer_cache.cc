#include "services/appid_registry/api/answer_cache.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace countersign::appid_registry {

// None of the three may hold a newline and be answered.
std::string AnswerCache::Key(const v1::VerifyIdentityRequest& request) {
  return absl::StrCat(request.app_id(), "\n", request.ae_id(), "\n", request.root_of_trust_sha256());
}

AnswerCache::Answer AnswerCache::Find(absl::string_view key, absl::Time now) {
  absl::MutexLock lock(&mutex_);
  const auto found = answers_.find(key);
  if (found == answers_.end()) return nullptr;
  const Order::iterator entry = found->second;
  if (now >= entry->made + reuse_) {
    Drop(entry);
    return nullptr;
  }
  order_.splice(order_.begin(), order_, entry);
  return entry->answer;
}

uint64_t AnswerCache::generation() const {
  absl::MutexLock lock(&mutex_);
  return generation_;
}

void AnswerCache::Keep(std::string key, Answer answer, absl::Time now, uint64_t generation) {
  absl::MutexLock lock(&mutex_);
  if (generation != generation_) return;
  if (const auto found = answers_.find(key); found != answers_.end()) Drop(found->second);
  order_.push_front({std::move(key), std::move(answer), now});
  answers_[order_.front().key] = order_.begin();
  while (order_.size() > max_answers_) Drop(std::prev(order_.end()));
}

void AnswerCache::Clear() {
  absl::MutexLock lock(&mutex_);
  ++generation_;
  order_.clear();
  answers_.clear();
}

void AnswerCache::Drop(Order::iterator entry) {
  answers_.erase(entry->key);
  order_.erase(entry);
}

}  // namespace countersign::appid_registry
