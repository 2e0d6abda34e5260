// Brings images to components: verify, download, transfer, activate, tell (FOTA-B, FOTA-E, FOTA-K).
//
// Every step that matters is on disk before it is taken, so that a gateway that loses power at any moment
// goes on from there:
//
//   (none) --server takes UPDATING--> TRANSFERRING --device has it--> ACTIVATING --device was told-->
//   ACTIVATED --> ENDED
//
// The end is FAILED or ROLLED_BACK, or VERIFYING: then the component's signed report is what counts.
#ifndef COUNTERSIGN_TOOLS_GATEWAY_UPDATER_H_
#define COUNTERSIGN_TOOLS_GATEWAY_UPDATER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/trust/update.h"
#include "tools/gateway/downloader.h"
#include "tools/gateway/reporter.h"
#include "tools/gateway/state.h"
#include "tools/gateway/verification.h"

namespace grpc {
class Channel;
}

namespace countersign::gateway {

struct UpdaterOptions {
  std::string director_root;  // the roots that came with the gateway
  std::string image_root;
  DownloaderOptions downloads;
  // Of the images that components run, which deltas are made from, at most so much is kept.
  int64_t image_cache_bytes = int64_t{512} << 20;
  // How long a device may take to come back from its reboot.
  absl::Duration reboot_timeout = absl::Minutes(5);
};

// Not thread-safe.
class Updater {
 public:
  // `state` outlives it. The channels are to the services rollout and package_store.
  Updater(UpdaterOptions options, std::shared_ptr<grpc::Channel> rollout,
          std::shared_ptr<grpc::Channel> package_store, State* state);
  ~Updater();
  Updater(const Updater&) = delete;
  Updater& operator=(const Updater&) = delete;

  // Fetches and verifies the metadata, and installs what they say on the components that are `present`. An
  // error means that something could not be had and is worth trying again; what was refused has been logged
  // and told to the server. What one device refuses does not keep the others from theirs.
  absl::Status Look(const std::map<std::string, PresentComponent>& present);

  // Looks after the components that are rebooting, and tells the server what it has not heard. `present` as
  // above; where a device was is remembered while it is away.
  absl::Status Settle(const std::map<std::string, PresentComponent>& present);

  // Whether components are rebooting: call Settle() again soon.
  bool awaiting() const;
  // Whether a component has come up with another image since this was last asked: a new manifest is due at
  // once.
  bool TakeChanged() { return std::exchange(changed_, false); }
  // Version of the Director's targets that were verified last and can be acted upon; 0 if there are none.
  int64_t director_version() const { return director_version_; }

 private:
  class Metadata;  // fetchers

  std::vector<trust::InstalledComponent> Known(const std::map<std::string, PresentComponent>& present) const;
  Verdict Verify(const std::map<std::string, PresentComponent>& present);
  // Whether the device at `socket` has been told to boot and is awaited.
  bool Rebooting(const Socket& socket) const;
  // Images and ended attempts that the Director no longer names, but for images that components run.
  absl::Status ForgetOthers(const std::vector<trust::VerifiedUpdate>& updates);
  absl::Status NoteRefused(const Verdict& verdict, const std::map<std::string, PresentComponent>& present);
  // Whether `update` is still to be done; forgets an attempt that it supersedes.
  absl::StatusOr<bool> IsDue(const trust::VerifiedUpdate& update, int64_t director_version,
                             const std::map<std::string, PresentComponent>& present);
  // Has the image on disk, verified.
  absl::Status Fetch(const trust::VerifiedUpdate& update, const std::string& base_sha256);
  absl::Status Install(const trust::VerifiedUpdate& update, const PresentComponent& component,
                       int64_t director_version);
  absl::Status Activate(const trust::VerifiedUpdate& update, const PresentComponent& component,
                        Attempt attempt);
  absl::Status SettleOne(const std::string& ecu_serial, Attempt attempt);
  // Counts a transfer that was cut off; ends the attempt when there were too many.
  absl::Status Cut(const std::string& ecu_serial, Attempt attempt, const absl::Status& status);
  absl::Status End(const std::string& ecu_serial, Attempt attempt, common::v1::UpdatePhase phase,
                   common::v1::FailureReason reason, absl::string_view detail);
  // Tells the server the ends that it has not heard of.
  absl::Status TellEnds();
  // Whether the server took it.
  absl::StatusOr<bool> Tell(const std::string& ecu_serial, const std::string& sha256,
                            common::v1::UpdatePhase phase,
                            common::v1::FailureReason reason = common::v1::FAILURE_REASON_UNSPECIFIED,
                            absl::string_view detail = "");

  const UpdaterOptions options_;
  const std::shared_ptr<grpc::Channel> rollout_;
  const std::shared_ptr<grpc::Channel> package_store_;
  State& state_;
  const std::unique_ptr<Metadata> director_metadata_;
  const std::unique_ptr<Metadata> image_metadata_;
  Verification verification_;
  Downloader downloader_;
  std::map<std::string, Socket> sockets_;  // by ecu_serial: where each was seen last
  int64_t director_version_ = 0;
  bool changed_ = false;
};

}  // namespace countersign::gateway

#endif  // COUNTERSIGN_TOOLS_GATEWAY_UPDATER_H_
