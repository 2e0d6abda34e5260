#ifndef COUNTERSIGN_COMMON_RPC_KEY_WATCH_H_
#define COUNTERSIGN_COMMON_RPC_KEY_WATCH_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/clock/clock.h"
#include "common/crypto/signer.h"
#include "common/rpc/server.h"
#include "common/worker/periodic.h"

namespace countersign::rpc {

// Looks after the keys that a service signs with. While one of them cannot be used (its token is gone), the
// service is not ready: /readyz says which key and why, gRPC health says NOT_SERVING. It goes on meanwhile
// with what needs no signature, and is ready again when the key is back. A loss and a return are a line in
// the log each, and in the metrics
//
//   countersign_signing_key_available{key}       1 or 0
//   countersign_signing_key_losses_total{key}    alarm on its increase
//
// Made before the server starts, destroyed after its Drain().
class KeyWatch {
 public:
  struct Key {
    std::string name;  // of its role, e.g. "snapshot"
    std::shared_ptr<const crypto::Signer> signer;
  };
  struct Options {
    absl::Duration interval = absl::Seconds(5);
    // A token that does not even refuse is as good as gone after this.
    absl::Duration patience = absl::Seconds(15);
    const Clock* clock = &SystemClock();
  };

  KeyWatch(Server& server, std::vector<Key> keys) : KeyWatch(server, std::move(keys), Options()) {}
  KeyWatch(Server& server, std::vector<Key> keys, Options options);
  ~KeyWatch();

 private:
  struct State;
  std::shared_ptr<State> state_;
  std::optional<Periodic> thread_;
};

}  // namespace countersign::rpc

#endif  // COUNTERSIGN_COMMON_RPC_KEY_WATCH_H_
