// A simulated component: two slots, counters, and an update on its way. Time is given to it.
#ifndef COUNTERSIGN_TOOLS_FLEET_COMPONENT_H_
#define COUNTERSIGN_TOOLS_FLEET_COMPONENT_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/trust/report.h"
#include "common/trust/update.h"
#include "tools/fleet/plan.h"

namespace countersign::fleet {

// What a gateway tells the server of an update, in this order.
enum class Progress {
  kDownloading,
  kDownloaded,
  kUpdating,
  kRebootPending,
  kVerifying,   // the new image runs
  kFailed,      // instead of kRebootPending
  kRolledBack,  // instead of kVerifying
};

absl::string_view ProgressName(Progress progress);  // as in UpdatePhase: "DOWNLOADING", ...

struct SlotImage {
  std::string path;  // empty for the factory's image
  int64_t length = 0;
  std::string sha256;
  std::string version;
  int64_t release_counter = 0;
};

// Not thread-safe.
class Component {
 public:
  // Counters rise from `first_counter` on. What is passed in outlives it.
  Component(const ComponentPlan& plan, const Product& product, Lie lie, int64_t first_counter);

  const ComponentPlan& plan() const { return plan_; }
  const Product& product() const { return product_; }
  const SlotImage& running() const { return slots_[active_]; }
  int64_t report_counter() const { return report_counter_; }
  // The update that is on its way or was the last one; nothing before the first.
  const std::optional<SlotImage>& update() const { return update_; }

  // Goes on from what an earlier run of the fleet left behind.
  void Resume(SlotImage running, int64_t report_counter);

  // Verified metadata of the Director's wants `update`. Whether that begins something: not when it runs it
  // already, is busy, or has failed with it under the same `director_version`.
  bool Offer(const trust::VerifiedUpdate& update, int64_t director_version, absl::Time now);

  // What is to be told now. The same until Told().
  std::optional<Progress> Due(absl::Time now) const;
  // The server has heard what is due. What is not `taken` at kUpdating is called off.
  void Told(bool taken, absl::Time now);
  // When something is due next; InfiniteFuture when only an offer helps.
  absl::Time next() const { return next_; }
  // What is due at `time` waits: its download did not come.
  void Postpone(absl::Time time) { next_ = time; }
  // The download is not what was promised: the update fails.
  void Refuse(absl::Time now);

  // Whether it runs another image than at its last report.
  bool changed() const { return changed_; }
  bool busy() const { return stage_ != Stage::kIdle && stage_ != Stage::kEnded; }

  // Its next report, which answers `nonce`.
  trust::VersionReport Report(absl::string_view nonce);

 private:
  enum class Stage { kIdle, kOffered, kDownloading, kDownloaded, kInstalling, kRebooting, kEnded };

  const ComponentPlan& plan_;
  const Product& product_;
  const Lie lie_;
  SlotImage slots_[2];
  int active_ = 0;
  int64_t report_counter_;
  bool reported_ = false;
  bool updated_ = false;
  bool changed_ = false;
  bool refused_ = false;
  Stage stage_ = Stage::kIdle;
  std::optional<SlotImage> update_;
  int64_t director_version_ = 0;
  absl::Time next_ = absl::InfiniteFuture();
};

}  // namespace countersign::fleet

#endif  // COUNTERSIGN_TOOLS_FLEET_COMPONENT_H_
