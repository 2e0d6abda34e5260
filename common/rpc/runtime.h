// What the handlers of one server share. Internal to common/rpc.
#ifndef COUNTERSIGN_COMMON_RPC_RUNTIME_H_
#define COUNTERSIGN_COMMON_RPC_RUNTIME_H_

#include <atomic>
#include <functional>
#include <memory>
#include <set>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "common/metrics/metrics.h"
#include "common/rpc/executor.h"
#include "common/rpc/handler.h"
#include "grpcpp/impl/service_type.h"

namespace countersign::rpc::internal {

// The server streams that are open, so that a drain can end those that wait.
class OpenStreams {
 public:
  // The functions that end a waiting stream; they must not call back.
  void Add(const std::function<void()>* close_if_waiting);
  // Does not return while CloseWaiting runs.
  void Remove(const std::function<void()>* close_if_waiting);
  void CloseWaiting();

 private:
  absl::Mutex mutex_;
  std::set<const std::function<void()>*> streams_ ABSL_GUARDED_BY(mutex_);
};

struct Runtime {
  Runtime(Executor& executor, std::string trust_domain, metrics::Registry& registry);

  Executor& executor;
  const std::string trust_domain;
  metrics::CounterFamily started;
  metrics::CounterFamily handled;
  metrics::HistogramFamily seconds;
  OpenStreams streams;
  std::atomic<bool> draining = false;
};

// What ends a stream, or refuses a call, while the server drains: UNAVAILABLE, SERVER_DRAINING, a delay with
// jitter.
absl::Status Draining();

// The gRPC service that runs these methods. `runtime`, `roles` and the functions in `methods` must outlive
// it.
std::unique_ptr<grpc::Service> MakeGrpcService(const RoleTable& roles, const std::vector<Method>& methods,
                                               Runtime& runtime);

}  // namespace countersign::rpc::internal

#endif  // COUNTERSIGN_COMMON_RPC_RUNTIME_H_
