#ifndef COUNTERSIGN_SERVICES_ROLLOUT_API_HINT_HUB_H_
#define COUNTERSIGN_SERVICES_ROLLOUT_API_HINT_HUB_H_

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "common/rpc/handler.h"

namespace countersign::rollout {

// The hint streams that are open at this replica, by gateway. A hint that nobody listens to is dropped: it
// says only that there is something to look at, and a gateway looks by itself when it comes. Thread-safe.
class HintHub {
 public:
  // What a stream still has to say, as bits.
  static constexpr unsigned kMetadata = 1;
  static constexpr unsigned kPrompts = 2;

  // One open stream's place. Hints for the gateway gather in it until they are taken.
  class Subscription {
   public:
    ~Subscription();
    Subscription(const Subscription&) = delete;
    Subscription& operator=(const Subscription&) = delete;

    // One subject, kMetadata first, or 0 when there is none.
    unsigned Take();
    void Add(unsigned subjects);

   private:
    friend class HintHub;
    Subscription(HintHub& hub, std::string gateway, rpc::Waker waker)
        : hub_(hub), gateway_(std::move(gateway)), waker_(std::move(waker)) {}

    HintHub& hub_;
    const std::string gateway_;
    const rpc::Waker waker_;
    std::atomic<unsigned> pending_ = 0;
  };

  // The hub must outlive what it returns.
  std::unique_ptr<Subscription> Subscribe(const std::string& gateway, rpc::Waker waker);

  void Publish(const std::string& gateway, unsigned subjects);
  // For when it is not known who missed something.
  void PublishToAll(unsigned subjects);

  int streams() const;

 private:
  mutable absl::Mutex mutex_;
  absl::flat_hash_map<std::string, std::vector<Subscription*>> streams_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace countersign::rollout

#endif  // COUNTERSIGN_SERVICES_ROLLOUT_API_HINT_HUB_H_
