#ifndef COUNTERSIGN_SERVICES_ROLLOUT_WORKERS_CONSENT_ASKER_H_
#define COUNTERSIGN_SERVICES_ROLLOUT_WORKERS_CONSENT_ASKER_H_

#include <stop_token>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/rollout/clients/consent_client.h"
#include "services/rollout/storage/rollout_store.h"

namespace countersign::rollout {

// Asks for the consent that the assignments of launched rollouts need (HOME-8), and takes back what is not
// needed any more. The same question asked twice has the same answer, so a replica that dies between the
// answer and its commit does no harm.
class ConsentAsker {
 public:
  // What it is given must outlive it.
  ConsentAsker(RolloutStore& store, ConsentClient& consent) : store_(store), consent_(consent) {}

  // A Loop's round.
  absl::StatusOr<bool> Round(std::stop_token stop);

  // Asks again about everything that consent can still move: for a follower that has missed decisions.
  absl::Status AskAgain(std::stop_token stop);

 private:
  absl::StatusOr<bool> Ask(const std::string& rollout);
  absl::StatusOr<bool> Close();

  RolloutStore& store_;
  ConsentClient& consent_;
};

}  // namespace countersign::rollout

#endif  // COUNTERSIGN_SERVICES_ROLLOUT_WORKERS_CONSENT_ASKER_H_
