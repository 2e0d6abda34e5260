#ifndef COUNTERSIGN_SERVICES_ROLLOUT_CLIENTS_LIAISON_CLIENT_H_
#define COUNTERSIGN_SERVICES_ROLLOUT_CLIENTS_LIAISON_CLIENT_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/rpc/channel.h"
#include "services/rollout/domain/release.h"

namespace countersign::rollout {

// What the liaison service knows of releases. Thread-safe; blocks.
class LiaisonClient {
 public:
  LiaisonClient(const rpc::Dialer& dialer, absl::string_view address);
  ~LiaisonClient();

  // The release as it is now. INVALID_ARGUMENT (RELEASE_UNKNOWN) when there is none of that name, or its
  // manufacturer took it back; UNAVAILABLE (LIAISON_UNAVAILABLE).
  absl::StatusOr<Release> GetRelease(const std::string& name, absl::Time deadline);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace countersign::rollout

#endif  // COUNTERSIGN_SERVICES_ROLLOUT_CLIENTS_LIAISON_CLIENT_H_
