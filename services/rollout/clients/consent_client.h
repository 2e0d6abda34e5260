#ifndef COUNTERSIGN_SERVICES_ROLLOUT_CLIENTS_CONSENT_CLIENT_H_
#define COUNTERSIGN_SERVICES_ROLLOUT_CLIENTS_CONSENT_CLIENT_H_

#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/crypto/public_key.h"
#include "common/feed/follower.h"
#include "common/rpc/channel.h"
#include "services/rollout/storage/rollout_store.h"

namespace countersign::rollout {

// What the consent service decides. Thread-safe; blocks.
class ConsentClient {
 public:
  // Only records signed by `record_key` are believed.
  ConsentClient(const rpc::Dialer& dialer, absl::string_view address, crypto::PublicKey record_key);
  ~ConsentClient();

  // Asks whether these updates may be installed, at most 1,000. A decision for each that was answered; an
  // answer whose record does not verify is left out, and logged.
  absl::StatusOr<std::vector<ConsentDecision>> Request(const std::vector<AssignmentView>& assignments,
                                                       absl::Time deadline);

  // Takes questions back that need no answer any more, at most 1,000.
  absl::Status Close(const std::vector<AssignmentKey>& keys, absl::Time deadline);

  // For feed::Follower: events whose payload DecisionOf() reads.
  absl::Status Watch(const std::string& token, const feed::Follower::Sink& sink, std::stop_token stop);
  // INVALID_ARGUMENT when the record does not verify, or speaks of something else than it stands for.
  absl::StatusOr<ConsentDecision> DecisionOf(const feed::Event& event) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace countersign::rollout

#endif  // COUNTERSIGN_SERVICES_ROLLOUT_CLIENTS_CONSENT_CLIENT_H_
