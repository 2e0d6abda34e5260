#ifndef COUNTERSIGN_SERVICES_ROLLOUT_API_DIRECTOR_H_
#define COUNTERSIGN_SERVICES_ROLLOUT_API_DIRECTOR_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/clock/clock.h"
#include "common/metrics/metrics.h"
#include "services/rollout/domain/director_signer.h"
#include "services/rollout/storage/director_store.h"
#include "services/rollout/storage/rollout_store.h"

namespace countersign::rollout {

inline constexpr size_t kMaxRootBytes = 256 << 10;

// Each gateway's Director repository. It is signed when the gateway asks and something has changed, or is
// about to expire: a gateway that stays away costs nothing. Thread-safe; blocks.
class Director {
 public:
  // What it is given must outlive it.
  Director(DirectorStore& store, RolloutStore& rollouts, const DirectorSigner& signer, const Clock& clock,
           metrics::Registry& registry);

  // Publishes root metadata and returns its version. Errors as PublishDirectorRoot in the API.
  absl::StatusOr<int64_t> PublishRoot(const std::string& bytes);

  // The file `name` of `gateway`'s repository. NOT_FOUND (FILE_UNKNOWN, NO_ROOT); UNAVAILABLE when what has
  // to be signed cannot be verified now.
  absl::StatusOr<std::string> File(const std::string& gateway, const std::string& name);

 private:
  absl::StatusOr<std::string> Timestamp(const std::string& gateway);
  // One try to bring what is signed up to date; false when somebody else changed it meanwhile.
  absl::StatusOr<bool> Sign(const std::string& gateway, bool end_refused);
  absl::Status EndRefused(const DirectorStore::Signable& signable, const DirectorSigner::Refusal& refusal);
  std::string Under(const DirectorState& state) const;
  bool NeedsTargets(const DirectorState& state, absl::Time now) const;

  DirectorStore& store_;
  RolloutStore& rollouts_;
  const DirectorSigner& signer_;
  const Clock& clock_;
  const metrics::Histogram seconds_;
  const metrics::CounterFamily refusals_;
};

}  // namespace countersign::rollout

#endif  // COUNTERSIGN_SERVICES_ROLLOUT_API_DIRECTOR_H_
