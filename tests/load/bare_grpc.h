#ifndef COUNTERSIGN_TESTS_LOAD_BARE_GRPC_H_
#define COUNTERSIGN_TESTS_LOAD_BARE_GRPC_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/rpc/tls.h"
#include "grpcpp/grpcpp.h"
#include "grpcpp/support/byte_buffer.h"

// gRPC's callback API over mutual TLS with nothing on it but bytes: what a service cannot be faster than. The
// client's half also drives the service, so that both are measured by the same client.
namespace countersign::load {

inline constexpr size_t kChunkBytes = 256 << 10;

inline constexpr char kBareDownload[] =
    "/countersign.load.Bare/Download";                                  // request: bytes wanted, in digits
inline constexpr char kBareUpload[] = "/countersign.load.Bare/Upload";  // takes all, answers nothing
inline constexpr char kBareEcho[] = "/countersign.load.Bare/Echo";

// Serves in a child process (child.h) until the parent has gone.
void ServeBareGrpc(const rpc::TlsOptions& tls);

grpc::ByteBuffer ToBuffer(const std::string& bytes);

using Channels = std::vector<std::shared_ptr<grpc::Channel>>;

// One server stream on each channel at once, to their ends. Returns the bytes of all messages; aborts if one
// fails.
int64_t Download(const Channels& channels, const std::string& method, const std::string& request);

// One client stream: `messages` one after the other. Aborts if it fails.
void Upload(const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
            const std::vector<grpc::ByteBuffer>& messages);

// `calls` unary calls, `at_once` of them at any time, over the channels in turn. Aborts if one fails.
void CallRepeatedly(const Channels& channels, const std::string& method, const std::string& request,
                    int calls, int at_once);

}  // namespace countersign::load

#endif  // COUNTERSIGN_TESTS_LOAD_BARE_GRPC_H_
