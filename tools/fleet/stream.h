// The stream on which a gateway is hinted at. It costs no thread: gRPC calls when something came.
#ifndef COUNTERSIGN_TOOLS_FLEET_STREAM_H_
#define COUNTERSIGN_TOOLS_FLEET_STREAM_H_

#include <functional>
#include <memory>

#include "absl/status/status.h"

namespace grpc {
class Channel;
}

namespace countersign::fleet {

// Thread-safe.
class HintStream {
 public:
  // Opens the stream on `channel`. The callbacks come on gRPC's threads and must not block; `on_end` comes
  // once, and is the last.
  HintStream(const std::shared_ptr<grpc::Channel>& channel, std::function<void()> on_hint,
             std::function<void(absl::Status)> on_end);
  // Ends the stream, and returns after `on_end`.
  ~HintStream();
  HintStream(const HintStream&) = delete;
  HintStream& operator=(const HintStream&) = delete;

 private:
  class Reader;
  std::unique_ptr<Reader> reader_;
};

}  // namespace countersign::fleet

#endif  // COUNTERSIGN_TOOLS_FLEET_STREAM_H_
