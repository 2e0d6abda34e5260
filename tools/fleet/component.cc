#include "tools/fleet/component.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/crypto/digest.h"

namespace countersign::fleet {
namespace {

constexpr int64_t kFactoryLength = 4096;
constexpr char kOtherHardware[] = "other-hardware";

}  // namespace

absl::string_view ProgressName(Progress progress) {
  switch (progress) {
    case Progress::kDownloading:
      return "DOWNLOADING";
    case Progress::kDownloaded:
      return "DOWNLOADED";
    case Progress::kUpdating:
      return "UPDATING";
    case Progress::kRebootPending:
      return "REBOOT_PENDING";
    case Progress::kVerifying:
      return "VERIFYING";
    case Progress::kFailed:
      return "FAILED";
    case Progress::kRolledBack:
      return "ROLLED_BACK";
  }
  return "";
}

Component::Component(const ComponentPlan& plan, const Product& product, Lie lie, int64_t first_counter)
    : plan_(plan), product_(product), lie_(lie), report_counter_(first_counter) {
  // All of one product leave the factory with the same image.
  slots_[0] = {.path = "",
               .length = kFactoryLength,
               .sha256 = crypto::Sha256Hex(absl::StrCat(product.hardware_id, " ", product.version)),
               .version = product.version,
               .release_counter = 0};
}

void Component::Resume(SlotImage running, int64_t report_counter) {
  slots_[active_] = std::move(running);
  report_counter_ = report_counter;
}

bool Component::Offer(const trust::VerifiedUpdate& update, int64_t director_version, absl::Time now) {
  if (busy() || running().sha256 == update.sha256) return false;
  if (stage_ == Stage::kEnded && update_->sha256 == update.sha256 && director_version_ == director_version) {
    return false;
  }
  update_ = {update.path, update.length, update.sha256, update.version, update.release_counter};
  director_version_ = director_version;
  stage_ = Stage::kOffered;
  refused_ = false;
  next_ = now;
  return true;
}

std::optional<Progress> Component::Due(absl::Time now) const {
  if (now < next_) return std::nullopt;
  if (refused_) return Progress::kFailed;
  switch (stage_) {
    case Stage::kIdle:
    case Stage::kEnded:
      return std::nullopt;
    case Stage::kOffered:
      return Progress::kDownloading;
    case Stage::kDownloading:
      return Progress::kDownloaded;
    case Stage::kDownloaded:
      return Progress::kUpdating;
    case Stage::kInstalling:
      return plan_.ending == Ending::kFails ? Progress::kFailed : Progress::kRebootPending;
    case Stage::kRebooting:
      return plan_.ending == Ending::kRollsBack ? Progress::kRolledBack : Progress::kVerifying;
  }
  return std::nullopt;
}

void Component::Told(bool taken, absl::Time now) {
  const std::optional<Progress> told = Due(now);
  if (!told.has_value()) return;
  const auto go = [this](Stage stage, absl::Time next) {
    stage_ = stage;
    next_ = next;
  };
  switch (*told) {
    case Progress::kDownloading:
      return go(Stage::kDownloading, now + plan_.download);
    case Progress::kDownloaded:
      return go(Stage::kDownloaded, now);
    case Progress::kUpdating:
      if (!taken) return go(Stage::kIdle, absl::InfiniteFuture());
      slots_[1 - active_] = *update_;
      return go(Stage::kInstalling, now + plan_.install);
    case Progress::kRebootPending:
      return go(Stage::kRebooting, now + plan_.reboot);
    case Progress::kVerifying:
      active_ = 1 - active_;
      updated_ = true;
      changed_ = true;
      return go(Stage::kIdle, absl::InfiniteFuture());
    case Progress::kFailed:
    case Progress::kRolledBack:
      refused_ = false;
      // What runs is what ran: the server hears it once more.
      changed_ = true;
      return go(Stage::kEnded, absl::InfiniteFuture());
  }
}

void Component::Refuse(absl::Time now) {
  refused_ = true;
  next_ = now;
}

trust::VersionReport Component::Report(absl::string_view nonce) {
  changed_ = false;
  if (!reported_ || lie_ != Lie::kReplayedReport) ++report_counter_;
  reported_ = true;
  const SlotImage& image = running();
  trust::VersionReport report;
  report.ecu_serial = plan_.serial;
  report.hardware_id = lie_ == Lie::kWrongHardware ? kOtherHardware : product_.hardware_id;
  report.manufacturer = product_.manufacturer;
  report.model = product_.model;
  report.filepath = image.path;
  report.length = image.length;
  report.sha256 = image.sha256;
  if (lie_ == Lie::kWrongDigest && updated_) report.sha256[0] = report.sha256[0] == '0' ? '1' : '0';
  report.version = image.version;
  report.release_counter = image.release_counter;
  report.report_counter = report_counter_;
  report.nonce = std::string(nonce);
  report.proxied = product_.constrained;
  return report;
}

}  // namespace countersign::fleet
