#ifndef COUNTERSIGN_COMMON_RPC_SERVER_STREAM_CALL_H_
#define COUNTERSIGN_COMMON_RPC_SERVER_STREAM_CALL_H_

#include "common/rpc/call_state.h"

namespace countersign::rpc {

// Serves one call of a ServerStream method; deletes itself when it is over.
grpc::ServerWriteReactor<grpc::ByteBuffer>* StartServerStreamCall(MethodState& method,
                                                                  grpc::CallbackServerContext* context,
                                                                  const grpc::ByteBuffer* request);

}  // namespace countersign::rpc

#endif  // COUNTERSIGN_COMMON_RPC_SERVER_STREAM_CALL_H_
