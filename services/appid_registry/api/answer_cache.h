#ifndef COUNTERSIGN_SERVICES_APPID_REGISTRY_API_ANSWER_CACHE_H_
#define COUNTERSIGN_SERVICES_APPID_REGISTRY_API_ANSWER_CACHE_H_

#include <cstdint>
#include <list>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "countersign/appid_registry/v1/appid_registry.pb.h"

namespace countersign::appid_registry {

// Signed answers, to be given again to who asks the same. An answer is given again for `reuse` at most, which
// bounds how late this replica notices what another one registered; what was registered here it notices at
// once. Bounded: those used last stay. Thread-safe.
class AnswerCache {
 public:
  using Answer = std::shared_ptr<const v1::VerifyIdentityResponse>;

  AnswerCache(size_t max_answers, absl::Duration reuse) : max_answers_(max_answers), reuse_(reuse) {}

  // What identifies a question.
  static std::string Key(const v1::VerifyIdentityRequest& request);

  // Null when there is none that may be given at `now`.
  Answer Find(absl::string_view key, absl::Time now);

  // Changes with every Clear.
  uint64_t generation() const;
  // Keeps `answer`, which was made at `now` from what was read after `generation` was asked for, unless Clear
  // has been called since.
  void Keep(std::string key, Answer answer, absl::Time now, uint64_t generation);

  // Something has been registered.
  void Clear();

 private:
  struct Entry {
    std::string key;
    Answer answer;
    absl::Time made;
  };
  using Order = std::list<Entry>;

  void Drop(Order::iterator entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const size_t max_answers_;
  const absl::Duration reuse_;
  mutable absl::Mutex mutex_;
  uint64_t generation_ ABSL_GUARDED_BY(mutex_) = 0;
  Order order_ ABSL_GUARDED_BY(mutex_);  // used last first
  absl::flat_hash_map<std::string, Order::iterator> answers_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace countersign::appid_registry

#endif  // COUNTERSIGN_SERVICES_APPID_REGISTRY_API_ANSWER_CACHE_H_
