#ifndef COUNTERSIGN_COMMON_RPC_GRPC_LOG_H_
#define COUNTERSIGN_COMMON_RPC_GRPC_LOG_H_

namespace countersign::rpc::internal {

// What gRPC has to say goes into the process's log, as lines of the same form. Idempotent, thread-safe.
void LogForGrpc();

}  // namespace countersign::rpc::internal

#endif  // COUNTERSIGN_COMMON_RPC_GRPC_LOG_H_
