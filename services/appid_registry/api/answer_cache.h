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

// Signed answers, to be given again to who asks the same, until what they say has changed. Whether it has is
// looked at in the database again when an answer was not for `reuse`, which bounds how late this replica
// notices what another one registered; what was registered here it notices at once. Bounded: those used last
// stay. Thread-safe.
class AnswerCache {
 public:
  using Answer = std::shared_ptr<const v1::VerifyIdentityResponse>;

  struct Kept {
    Answer answer;  // null when there is none
    bool current =
        false;  // whether it may be given as it is; else only if `revision` is still what is stored
    int64_t revision = 0;
  };

  AnswerCache(size_t max_answers, absl::Duration reuse) : max_answers_(max_answers), reuse_(reuse) {}

  // What identifies a question.
  static std::string Key(const v1::VerifyIdentityRequest& request);

  // What is kept and may be given at `now` or, when it is not current, after a look at the revision.
  Kept Find(absl::string_view key, absl::Time now);

  // Changes with every Clear.
  uint64_t generation() const;
  // Keeps `answer`, of a profile of revision `revision` (0: none) that was read at `now`, after `generation`
  // was asked for, unless Clear has been called since. It is forgotten at `until`.
  void Keep(std::string key, Answer answer, int64_t revision, absl::Time now, absl::Time until,
            uint64_t generation);

  // Something has been registered: everything must be looked at again.
  void Clear();

 private:
  struct Entry {
    std::string key;
    Answer answer;
    int64_t revision;
    absl::Time looked_at;
    absl::Time until;
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
