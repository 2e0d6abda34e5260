// What every mutation has in common: a request_id that makes its repetition harmless (AIP-155).
#ifndef COUNTERSIGN_COMMON_RPC_MUTATION_H_
#define COUNTERSIGN_COMMON_RPC_MUTATION_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/message_lite.h"

namespace countersign::rpc {

// INVALID_ARGUMENT (REQUEST_ID_INVALID) unless `request_id` is a UUID.
absl::Status CheckRequestId(absl::string_view request_id);

// `request` as bytes that are the same for the same request.
std::string RequestBytes(const google::protobuf::MessageLite& request);

}  // namespace countersign::rpc

#endif  // COUNTERSIGN_COMMON_RPC_MUTATION_H_
