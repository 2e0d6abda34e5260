#ifndef COUNTERSIGN_COMMON_RPC_CLIENT_STREAM_CALL_H_
#define COUNTERSIGN_COMMON_RPC_CLIENT_STREAM_CALL_H_

#include "common/rpc/call_state.h"

namespace countersign::rpc {

// Serves one call of a ClientStream method; deletes itself when it is over.
grpc::ServerReadReactor<grpc::ByteBuffer>* StartClientStreamCall(MethodState& method,
                                                                 grpc::CallbackServerContext* context,
                                                                 grpc::ByteBuffer* response);

}  // namespace countersign::rpc

#endif  // COUNTERSIGN_COMMON_RPC_CLIENT_STREAM_CALL_H_
