// What is to be installed, from the Director's metadata to the installer: verify, download, install, tell
// (FOTA-B, FOTA-E, FOTA-K).
#ifndef COUNTERSIGN_TOOLS_GATEWAY_UPDATER_H_
#define COUNTERSIGN_TOOLS_GATEWAY_UPDATER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/trust/update.h"
#include "tools/gateway/desk.h"
#include "tools/gateway/downloader.h"
#include "tools/gateway/incidents.h"
#include "tools/gateway/installer.h"
#include "tools/gateway/progress.h"
#include "tools/gateway/quarantine.h"
#include "tools/gateway/reporter.h"
#include "tools/gateway/repositories.h"
#include "tools/gateway/state.h"
#include "tools/gateway/verification.h"

namespace grpc {
class Channel;
}

namespace countersign::gateway {

struct UpdaterOptions {
  std::string gateway_id;
  std::string director_root;  // the roots that came with the gateway
  std::string image_root;
  DownloaderOptions downloads;
  // Of the images that components run, which deltas are made from, at most so much is kept.
  int64_t image_cache_bytes = int64_t{512} << 20;
  // How long a device may take to come back from its reboot.
  absl::Duration reboot_timeout = absl::Minutes(5);
  // A program that cuts devices off that do not obey a quarantine: see Quarantine. Empty for none.
  std::string quarantine_hook;
  // Called when progress() or confirmations() may have changed, also in the middle of Look().
  std::function<void()> on_change;
};

// Not thread-safe.
class Updater {
 public:
  // `incidents` and `state` outlive it. The channels are to the services rollout and package_store.
  Updater(UpdaterOptions options, std::shared_ptr<grpc::Channel> rollout,
          std::shared_ptr<grpc::Channel> package_store, Incidents* incidents, State* state);
  ~Updater();
  Updater(const Updater&) = delete;
  Updater& operator=(const Updater&) = delete;

  // Fetches and verifies the metadata, hands the orders in them to the devices, and installs what they say on
  // the components that are `present`. Images that are only to be prefetched are fetched, and no more. An
  // error means that something could not be had and is worth trying again; what was refused has been logged
  // and told to the server. What one device refuses does not keep the others from theirs.
  absl::Status Look(const std::map<std::string, PresentComponent>& present);

  // Looks after the components that are rebooting, and tells the server what it has not heard. `present` as
  // above.
  absl::Status Settle(const std::map<std::string, PresentComponent>& present);

  // Installs what an offline package at `path` has for the components that are `present` (SC-ALT): the same
  // checks, with the package in the place of the services; nobody is asked and the outcome is told when the
  // services are there. What became of each, for people. Errors of OfflinePackage::Open() and of
  // common/trust.
  absl::StatusOr<std::vector<std::string>> InstallPackage(
      const std::string& path, const std::map<std::string, PresentComponent>& present);

  // Whether components are rebooting: call Settle() again soon.
  bool awaiting() const { return installer_.awaiting(); }
  // Whether installations wait for preconditions, and whether one of them can go on now: then Look() again.
  bool readings_awaited() const { return installer_.readings_awaited(); }
  bool ReadingsAllow() { return installer_.ReadingsAllow(); }
  // Whether a component has changed since this was last asked: a new manifest is due at once.
  bool TakeChanged();
  // Version of the Director's targets that were verified last and can be acted upon; 0 if there are none.
  int64_t director_version() const { return director_version_; }
  // What the last Look() found of the metadata: OK, or why they were refused.
  const absl::Status& verdict() const { return verdict_; }
  // How many updates the last Look() found ordered that the components do not run.
  int pending_updates() const { return pending_updates_; }

  std::vector<Confirmation> confirmations() const { return installer_.confirmations(); }
  // See Installer::Answer().
  absl::Status Answer(const ConfirmationAnswer& answer);
  std::vector<ComponentProgress> progress() const;

 private:
  using Present = std::map<std::string, PresentComponent>;

  std::vector<trust::InstalledComponent> Known(const Present& present) const;
  Verdict Verify(const Present& present);
  void ApplyOrders(const Verdict& verdict, const Present& present);
  // Images and ended attempts that the Director no longer names, but for images that components run.
  absl::Status ForgetOthers(const Verdict& verdict);
  absl::Status NoteRefused(const Verdict& verdict, const Present& present);
  absl::Status AdoptProvisional(const Verdict& verdict, const Present& present);
  // Whether `update` is still to be done; forgets an attempt that it supersedes.
  absl::StatusOr<bool> IsDue(const trust::VerifiedUpdate& update, int64_t director_version,
                             const Present& present);
  // The updates by bundle, those that change alone by themselves.
  static std::vector<std::vector<trust::VerifiedUpdate>> Units(
      const std::vector<trust::VerifiedUpdate>& updates);
  // Has what `unit` needs on disk, and vouched for; what is refused has ended. An error is worth trying
  // again.
  absl::Status Prepare(const std::vector<trust::VerifiedUpdate>& unit, int64_t director_version,
                       const Present& present, bool& downloaded);
  absl::Status InstallUnit(const std::vector<trust::VerifiedUpdate>& unit, int64_t director_version,
                           const Present& present);
  // Has what vouches for the image of `update` beside the metadata, and has verified what it can.
  absl::Status Vouch(const trust::VerifiedUpdate& update);
  // Has the image on disk, verified. One that is fetched `ahead` is nobody's business yet.
  absl::Status Fetch(const trust::VerifiedUpdate& update, const std::string& base_sha256, bool ahead);
  void Changed() const;

  const UpdaterOptions options_;
  const std::shared_ptr<grpc::Channel> package_store_;
  Incidents& incidents_;
  State& state_;
  const std::unique_ptr<trust::Fetcher> director_metadata_;
  const std::unique_ptr<trust::Fetcher> image_metadata_;
  Verification verification_;
  Downloader downloader_;
  ProgressTeller progress_;
  Installer installer_;
  Quarantine quarantine_;
  std::map<std::pair<std::string, std::string>, Vouchers> vouchers_;  // by path and digest
  std::map<std::string, ComponentProgress> fetching_;                 // by ecu_serial, until it is installed
  int64_t director_version_ = 0;
  int pending_updates_ = 0;
  absl::Status verdict_;
  bool changed_ = false;
};

}  // namespace countersign::gateway

#endif  // COUNTERSIGN_TOOLS_GATEWAY_UPDATER_H_
