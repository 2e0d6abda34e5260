// absl::Status to grpc::Status and back, with the details that clients of any language can read: a
// google.rpc.Status with ErrorInfo and RetryInfo in grpc-status-details-bin.
#ifndef COUNTERSIGN_COMMON_RPC_STATUS_GRPC_H_
#define COUNTERSIGN_COMMON_RPC_STATUS_GRPC_H_

#include <optional>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace grpc {
class Status;
}

namespace countersign::rpc {

// `status` with a RetryInfo detail: the caller should wait `delay` (> 0) before it tries again. Keeps the
// other details.
absl::Status WithRetryDelay(absl::Status status, absl::Duration delay);

// The delay that `status` asks for, from here or from another process.
std::optional<absl::Duration> RetryDelayOf(const absl::Status& status);

// Everything in `status` goes to the peer; what must not leave the process has been taken out before
// (handlers do it for INTERNAL, UNKNOWN and DATA_LOSS).
grpc::Status ToGrpc(const absl::Status& status);

// The canonical status that a call returned, with its ErrorInfo and RetryInfo restored, so that ReasonOf and
// RetryDelayOf work on it.
absl::Status FromGrpc(const grpc::Status& status);

}  // namespace countersign::rpc

#endif  // COUNTERSIGN_COMMON_RPC_STATUS_GRPC_H_
