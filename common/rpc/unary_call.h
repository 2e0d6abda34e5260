#ifndef COUNTERSIGN_COMMON_RPC_UNARY_CALL_H_
#define COUNTERSIGN_COMMON_RPC_UNARY_CALL_H_

#include "common/rpc/call_state.h"

namespace countersign::rpc {

// Serves one call of a Unary or AsyncUnary method; deletes itself when it is over.
grpc::ServerUnaryReactor* StartUnaryCall(MethodState& method, grpc::CallbackServerContext* context,
                                         const grpc::ByteBuffer* request, grpc::ByteBuffer* response);

}  // namespace countersign::rpc

#endif  // COUNTERSIGN_COMMON_RPC_UNARY_CALL_H_
