#include "services/liaison/clients/call_group.h"

#include <grpcpp/client_context.h>

namespace countersign::liaison {

CallGroup::Member::Member(CallGroup& group, grpc::ClientContext* context) : group_(group), context_(context) {
  absl::MutexLock lock(&group_.mutex_);
  group_.contexts_.insert(context_);
  if (group_.cancelled_) context_->TryCancel();
}

CallGroup::Member::~Member() {
  absl::MutexLock lock(&group_.mutex_);
  group_.contexts_.erase(context_);
}

void CallGroup::Cancel() {
  absl::MutexLock lock(&mutex_);
  cancelled_ = true;
  for (grpc::ClientContext* context : contexts_) context->TryCancel();
}

bool CallGroup::cancelled() const {
  absl::MutexLock lock(&mutex_);
  return cancelled_;
}

}  // namespace countersign::liaison
