#ifndef COUNTERSIGN_SERVICES_LIAISON_CLIENTS_CALL_GROUP_H_
#define COUNTERSIGN_SERVICES_LIAISON_CLIENTS_CALL_GROUP_H_

#include <set>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace grpc {
class ClientContext;
}

namespace countersign::liaison {

// The calls that workers have under way, so that a process that is to stop need not wait for what others
// take minutes to answer. Thread-safe.
class CallGroup {
 public:
  // While it lives the call belongs to the group. In a group that was cancelled it is cancelled at once.
  class Member {
   public:
    Member(CallGroup& group, grpc::ClientContext* context);
    ~Member();
    Member(const Member&) = delete;
    Member& operator=(const Member&) = delete;

   private:
    CallGroup& group_;
    grpc::ClientContext* const context_;
  };

  // Ends the calls that run and those that will be begun, with CANCELLED. For good.
  void Cancel();
  bool cancelled() const;

 private:
  mutable absl::Mutex mutex_;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  std::set<grpc::ClientContext*> contexts_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace countersign::liaison

#endif  // COUNTERSIGN_SERVICES_LIAISON_CLIENTS_CALL_GROUP_H_
