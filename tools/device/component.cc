#include "tools/device/component.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/crypto/digest.h"
#include "common/crypto/open_signer.h"
#include "common/file/file.h"
#include "common/log/log.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/trust/report.h"
#include "tools/device/state_file.h"

namespace countersign::device {
namespace {

using nlohmann::json;

constexpr mode_t kPrivateMode = 0600;
constexpr size_t kMaxConfirmations = 64;

std::string KeyFile(const std::string& folder) { return absl::StrCat(folder, "/key.pem"); }

// A key whose token may be away for a while, and come back.
bool IsOnToken(const std::string& key) { return absl::StartsWithIgnoreCase(key, "pkcs11:"); }

json ToJson(const BootState& state) {
  return {{"active", state.active == Slot::kA ? "a" : "b"},
          {"stage", static_cast<int>(state.stage)},
          {"tries", state.tries},
          {"outcome", static_cast<int>(state.outcome)},
          {"trial_sha256", state.trial_sha256},
          {"bundle", state.bundle},
          {"release_floor", state.release_floor},
          {"damage", state.damage}};
}

BootState ToBootState(const json& state) {
  return {.active = state.value("active", "a") == "a" ? Slot::kA : Slot::kB,
          .stage = static_cast<Stage>(state.value("stage", 0)),
          .tries = state.value("tries", 0),
          .outcome = static_cast<Outcome>(state.value("outcome", 0)),
          .trial_sha256 = state.value("trial_sha256", ""),
          .bundle = state.value("bundle", ""),
          .release_floor = state.value("release_floor", int64_t{0}),
          .damage = state.value("damage", "")};
}

absl::Status NotInstalled(absl::string_view ecu_serial, absl::string_view sha256) {
  return Error(
      absl::StatusCode::kFailedPrecondition, "NOT_INSTALLED",
      absl::StrCat("the inactive slot of ", ecu_serial, " has no image ", sha256, ": install it first"));
}

absl::Status NotProvisional(absl::string_view ecu_serial, absl::string_view sha256) {
  return Error(absl::StatusCode::kFailedPrecondition, "NOT_PROVISIONAL",
               absl::StrCat(ecu_serial, " does not run the image ", sha256, " provisionally"));
}

}  // namespace

absl::StatusOr<std::string> Component::Provision(const std::string& folder, const Identity& identity,
                                                 crypto::KeyType key_type, const std::string& factory_image,
                                                 const std::string& factory_version) {
  if (std::filesystem::exists(folder)) {
    return Error(absl::StatusCode::kAlreadyExists, "ALREADY_PROVISIONED",
                 absl::StrCat(folder, " is there already: a component is provisioned once"));
  }
  std::string public_key;
  std::optional<crypto::PemSigner> made;
  if (!identity.constrained && identity.key.empty()) {
    ASSIGN_OR_RETURN(made, crypto::PemSigner::Generate(key_type));
    public_key = made->public_key().Pem();
  } else if (!identity.constrained) {
    ASSIGN_OR_RETURN(const std::unique_ptr<crypto::Signer> signer, crypto::OpenSigner(identity.key));
    public_key = signer->public_key().Pem();
  }
  const std::string slot = absl::StrCat(folder, "/slot-a");
  RETURN_IF_ERROR(MakeDirectories(slot));
  RETURN_IF_ERROR(MakeDirectories(absl::StrCat(folder, "/slot-b")));
  if (made.has_value()) RETURN_IF_ERROR(WriteFileAtomically(KeyFile(folder), made->ToPem(), kPrivateMode));
  std::error_code error;
  std::filesystem::copy_file(factory_image, ImagePath(slot), error);
  if (error) {
    return Error(absl::StatusCode::kNotFound, "IMAGE_MISSING",
                 absl::StrCat("cannot copy the factory image ", factory_image, ": ", error.message()));
  }
  ASSIGN_OR_RETURN(SlotContent content, MeasureImage(ImagePath(slot)));
  content.version = factory_version;
  content.tried = content.proven = true;
  RETURN_IF_ERROR(WriteSlot(slot, content));
  RETURN_IF_ERROR(WriteFileAtomically(absl::StrCat(folder, "/boot.json"), ToJson(BootState()).dump()));
  const json description = {{"ecu_serial", identity.ecu_serial},
                            {"hardware_id", identity.hardware_id},
                            {"constrained", identity.constrained},
                            {"key", identity.key}};
  RETURN_IF_ERROR(WriteFileAtomically(absl::StrCat(folder, "/component.json"), description.dump()));
  return public_key;
}

absl::StatusOr<std::unique_ptr<Component>> Component::Boot(const std::string& folder,
                                                           const HealthCheck& healthy,
                                                           const ReadingsSource& readings) {
  std::unique_ptr<Component> component(new Component());
  component->folder_ = folder;
  ASSIGN_OR_RETURN(const json identity, ReadState(absl::StrCat(folder, "/component.json")));
  component->identity_ = {.ecu_serial = identity.value("ecu_serial", ""),
                          .hardware_id = identity.value("hardware_id", ""),
                          .constrained = identity.value("constrained", false),
                          .key = identity.value("key", "")};
  const absl::Status opened = component->OpenKey();
  if (!opened.ok()) {
    if (!IsOnToken(component->identity_.key)) return opened;
    // It has work to do that needs no signature, and its token may come back.
    log::Error("the key cannot be used", {{"ecu_serial", component->ecu_serial()}, {"error", opened}});
  }
  const absl::StatusOr<std::string> counter = ReadFile(absl::StrCat(folder, "/counter"));
  if (counter.ok() && !absl::SimpleAtoi(*counter, &component->report_counter_)) {
    return Error(absl::StatusCode::kDataLoss, "STATE_DAMAGED",
                 absl::StrCat(folder, "/counter is not a number"));
  }
  ASSIGN_OR_RETURN(const json boot, ReadState(absl::StrCat(folder, "/boot.json")));
  component->boot_ = ToBootState(boot);
  RETURN_IF_ERROR(component->TryOtherSlot(healthy, readings));
  RETURN_IF_ERROR(component->LoadRunning(healthy));
  return component;
}

absl::Status Component::OpenKey() {
  if (identity_.constrained) return absl::OkStatus();
  absl::StatusOr<std::unique_ptr<crypto::Signer>> signer =
      crypto::OpenSigner(identity_.key.empty() ? KeyFile(folder_) : identity_.key);
  key_status_ = signer.status();
  if (signer.ok()) signer_ = *std::move(signer);
  return key_status_;
}

absl::Status Component::TryOtherSlot(const HealthCheck& healthy, const ReadingsSource& readings) {
  const BootState before = boot_;
  if (before.stage == Stage::kSettled) return absl::OkStatus();
  RETURN_IF_ERROR(SaveBootState(BeginBoot(before)));
  if (boot_.stage != Stage::kSettled) {
    const std::string slot = SlotFolder(Other(boot_.active));
    absl::StatusOr<SlotContent> content = ReadSlot(slot);
    bool well = content.ok() && content->sha256 == boot_.trial_sha256 && IsWhole(slot, *content);
    if (well && boot_.stage == Stage::kTrial) {
      // The power that was there at the activation may be gone by now.
      if (const absl::Status met = content->preconditions.any()
                                       ? trust::CheckPreconditions(content->preconditions, readings())
                                       : absl::OkStatus();
          !met.ok()) {
        log::Warn("does not begin the trial", {{"ecu_serial", ecu_serial()}, {"detail", met.message()}});
        return SaveBootState(Postpone(boot_));
      }
      // Before the trial can end: whatever comes of it, this installation has had its turn.
      if (!content->tried) {
        content->tried = true;
        RETURN_IF_ERROR(WriteSlot(slot, *content));
      }
    }
    well = well && healthy(ImagePath(slot));
    RETURN_IF_ERROR(SaveBootState(EndBoot(boot_, well, well ? content->release_counter : 0)));
  }
  if (before.stage != boot_.stage) {
    absl::string_view what = "rolled back to the old image";
    if (boot_.stage == Stage::kProvisional) what = "the new image came up, and runs provisionally";
    if (boot_.stage == Stage::kSettled && boot_.outcome == Outcome::kCameUp) what = "the new image came up";
    log::Info(what, {{"ecu_serial", ecu_serial()}, {"sha256", before.trial_sha256}});
  }
  return absl::OkStatus();
}

absl::Status Component::LoadRunning(const HealthCheck& healthy) {
  const std::string folder = SlotFolder(RunningSlot(boot_));
  absl::StatusOr<SlotContent> content = ReadSlot(folder);
  if (content.ok() && IsWhole(folder, *content)) {
    running_ = *content;
    if (boot_.stage == Stage::kProvisional || running_.proven) return absl::OkStatus();
    running_.proven = true;
    return WriteSlot(folder, running_);
  }
  // The running image is damaged. What ran before, or what was verified and only waits for its turn, is
  // better than nothing; what failed, or what a user has not confirmed, is not.
  const std::string other = SlotFolder(Other(RunningSlot(boot_)));
  absl::StatusOr<SlotContent> spare = ReadSlot(other);
  bool usable =
      spare.ok() && !spare->awaits_confirmation && (spare->proven || !spare->tried) && IsWhole(other, *spare);
  if (usable && !spare->proven) {
    spare->tried = true;
    RETURN_IF_ERROR(WriteSlot(other, *spare));
    usable = healthy(ImagePath(other));
  }
  const std::string lost = content.ok() ? content->sha256 : boot_.trial_sha256;
  const std::string damage = absl::StrCat(
      "the running image ", lost, " was found damaged at a boot; ",
      usable ? absl::StrCat("runs ", spare->sha256, " instead") : "there is no other that could run");
  log::Error("the running image is damaged", {{"ecu_serial", ecu_serial()}, {"detail", damage}});
  if (boot_.outcome != Outcome::kNoImage || usable) {
    // When a trial failed and nothing is left to go back to, the outcome is the trial's.
    const bool failed_trial = !usable && boot_.outcome == Outcome::kRolledBack;
    RETURN_IF_ERROR(SaveBootState(Damaged(boot_, failed_trial ? boot_.trial_sha256 : lost, damage, usable)));
  }
  if (usable) {
    running_ = *spare;
    if (running_.proven) return absl::OkStatus();
    running_.proven = true;
    return WriteSlot(other, running_);
  }
  const absl::StatusOr<SlotContent> measured = MeasureImage(ImagePath(folder));
  running_ = measured.ok() ? *measured : SlotContent{.sha256 = crypto::Sha256Hex("")};
  return absl::OkStatus();
}

std::optional<std::string> Component::running_image() const {
  if (boot_.outcome == Outcome::kNoImage) return std::nullopt;
  return ImagePath(SlotFolder(RunningSlot(boot_)));
}

int64_t Component::release_floor() const {
  // What runs provisionally may be taken back, and must then not be below what is asked for.
  if (boot_.stage == Stage::kProvisional) return boot_.release_floor;
  return std::max(boot_.release_floor, running_.release_counter);
}

std::optional<SlotContent> Component::Inactive() const {
  absl::StatusOr<SlotContent> content = ReadSlot(OtherFolder());
  if (!content.ok()) return std::nullopt;
  return *std::move(content);
}

std::string Component::SlotFolder(Slot slot) const {
  return absl::StrCat(folder_, slot == Slot::kA ? "/slot-a" : "/slot-b");
}

absl::Status Component::SaveBootState(const BootState& state) {
  if (state == boot_) return absl::OkStatus();
  RETURN_IF_ERROR(WriteFileAtomically(absl::StrCat(folder_, "/boot.json"), ToJson(state).dump()));
  boot_ = state;
  return absl::OkStatus();
}

absl::StatusOr<trust::Envelope> Component::Report(absl::string_view manufacturer, absl::string_view model,
                                                  absl::string_view nonce, bool quarantined) {
  // A token that says no for another reason would only say it again, and count its PIN's failures.
  if (absl::IsUnavailable(key_status_)) OpenKey().IgnoreError();
  RETURN_IF_ERROR(key_status_);
  // Kept before it is used: a counter that came back would make a report look replayed.
  RETURN_IF_ERROR(WriteFileAtomically(absl::StrCat(folder_, "/counter"), absl::StrCat(report_counter_ + 1)));
  trust::VersionReport report;
  report.ecu_serial = ecu_serial();
  report.hardware_id = hardware_id();
  report.manufacturer = std::string(manufacturer);
  report.model = std::string(model);
  report.filepath = running_.target_path;
  report.length = running_.length;
  report.sha256 = running_.sha256;
  report.version = running_.version;
  report.release_counter = running_.release_counter;
  report.report_counter = ++report_counter_;
  report.nonce = std::string(nonce);
  report.attacks_detected = boot_.damage;
  report.proxied = constrained();
  report.approval_result = running_.approval_result;
  report.approval_override = running_.approval_override;
  report.quarantined = quarantined;
  trust::Envelope envelope = report.ToEnvelope();
  if (signer_ != nullptr) RETURN_IF_ERROR(envelope.Sign(*signer_));
  return envelope;
}

absl::StatusOr<std::unique_ptr<Installation>> Component::BeginInstallation() {
  if (boot_.stage == Stage::kProvisional) {
    return Error(absl::StatusCode::kFailedPrecondition, "PROVISIONAL",
                 absl::StrCat(ecu_serial(), " runs an image of bundle ", boot_.bundle,
                              " provisionally: commit or revert it first"));
  }
  return Installation::Begin(OtherFolder());
}

absl::Status Component::Confirm(absl::string_view sha256, bool confirm, absl::string_view principal_id,
                                absl::Time now) {
  std::optional<SlotContent> content = Inactive();
  if (!content.has_value() || !content->awaits_confirmation || content->sha256 != sha256) {
    return NotInstalled(ecu_serial(), sha256);
  }
  // Before it counts: an override without its record must not be.
  const std::string path = absl::StrCat(folder_, "/confirmations.json");
  const absl::StatusOr<json> before = ReadState(path);
  if (!before.ok() && !absl::IsNotFound(before.status())) return before.status();
  json all = before.ok() ? before->value("confirmations", json::array()) : json::array();
  if (all.size() >= kMaxConfirmations) all.erase(all.begin());
  all.push_back({{"time", absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", now, absl::UTCTimeZone())},
                 {"principal_id", std::string(principal_id)},
                 {"confirmed", confirm},
                 {"target_path", content->target_path},
                 {"sha256", content->sha256},
                 {"approval_result", content->approval_result}});
  const json record = {{"confirmations", std::move(all)}};
  RETURN_IF_ERROR(WriteFileAtomically(path, record.dump(1, ' ', false, json::error_handler_t::replace)));
  if (!confirm) return RemoveFile(absl::StrCat(OtherFolder(), "/slot.json"));
  content->awaits_confirmation = false;
  content->approval_override = true;
  return WriteSlot(OtherFolder(), *content);
}

absl::Status Component::Activate(absl::string_view sha256, absl::string_view bundle,
                                 const trust::Readings& readings) {
  const std::optional<SlotContent> content = Inactive();
  if (!content.has_value() || content->tried || content->sha256 != sha256 ||
      boot_.stage == Stage::kProvisional || !IsWhole(OtherFolder(), *content)) {
    return NotInstalled(ecu_serial(), sha256);
  }
  if (content->awaits_confirmation) {
    return Error(absl::StatusCode::kFailedPrecondition, "NOT_CONFIRMED",
                 absl::StrCat("the approval of ", sha256, " could not be checked (", content->approval_result,
                              "): the user has to confirm it first"));
  }
  if (!content->bundle.empty() && !bundle.empty() && bundle != content->bundle) {
    return Error(
        absl::StatusCode::kFailedPrecondition, "BUNDLE_MISMATCH",
        absl::StrCat("the Director has ", sha256, " in bundle ", content->bundle, ", not in ", bundle));
  }
  RETURN_IF_ERROR(trust::CheckPreconditions(content->preconditions, readings));
  return SaveBootState(device::Activate(boot_, std::string(sha256),
                                        content->bundle.empty() ? std::string(bundle) : content->bundle));
}

absl::Status Component::Commit(absl::string_view sha256) {
  const bool reverted = boot_.outcome == Outcome::kReverted && boot_.trial_sha256 == sha256;
  if (running_.sha256 != sha256 || boot_.stage == Stage::kTrial || reverted) {
    return NotProvisional(ecu_serial(), sha256);
  }
  if (boot_.stage == Stage::kSettled) return absl::OkStatus();
  const std::string folder = SlotFolder(RunningSlot(boot_));
  RETURN_IF_ERROR(SaveBootState(device::Commit(boot_, running_.release_counter)));
  running_.proven = true;
  return WriteSlot(folder, running_);
}

absl::Status Component::Revert(absl::string_view sha256) {
  if (boot_.stage != Stage::kProvisional || running_.sha256 != sha256) {
    return NotProvisional(ecu_serial(), sha256);
  }
  return SaveBootState(device::Revert(boot_));
}

}  // namespace countersign::device
