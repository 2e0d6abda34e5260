// What every client channel is set to. Internal to common/rpc.
#ifndef COUNTERSIGN_COMMON_RPC_CHANNEL_ARGUMENTS_H_
#define COUNTERSIGN_COMMON_RPC_CHANNEL_ARGUMENTS_H_

#include "common/rpc/channel.h"
#include "grpcpp/support/channel_arguments.h"

namespace countersign::rpc::internal {

grpc::ChannelArguments ArgumentsFor(const ChannelOptions& options);

}  // namespace countersign::rpc::internal

#endif  // COUNTERSIGN_COMMON_RPC_CHANNEL_ARGUMENTS_H_
