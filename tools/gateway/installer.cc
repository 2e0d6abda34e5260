#include "tools/gateway/installer.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/log/log.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/trust/metadata.h"
#include "common/trust/preconditions.h"
#include "tools/device/failure.h"
#include "tools/gateway/image_file.h"
#include "tools/gateway/link.h"

namespace countersign::gateway {
namespace {

using namespace common::v1;
using Stage = Attempt::Stage;

// A device whose transfers break off this often does not get the image.
constexpr int kMaxCuts = 5;

// The reason that a device gives, if it gives one that exists.
FailureReason ReasonOrDefault(FailureReason reason) {
  return reason == FAILURE_REASON_UNSPECIFIED || !FailureReason_IsValid(reason) ? FAILURE_REASON_UPDATE_FAILED
                                                                                : reason;
}

// The device has been told to boot, or is being told.
bool AwaitsReboot(const Attempt& attempt) {
  return attempt.stage == Stage::kActivating || attempt.stage == Stage::kActivated;
}

std::string ApprovalName(device::v1::ApprovalResult result) {
  if (result == device::v1::APPROVAL_RESULT_UNSPECIFIED || !device::v1::ApprovalResult_IsValid(result))
    return "";
  return std::string(absl::StripPrefix(device::v1::ApprovalResult_Name(result), "APPROVAL_RESULT_"));
}

}  // namespace

bool IsGone(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) || absl::IsCancelled(status);
}

bool IsUnderWay(const Attempt& attempt) {
  return AwaitsReboot(attempt) || attempt.stage == Stage::kProvisional ||
         attempt.stage == Stage::kCommitting || attempt.stage == Stage::kReverting;
}

void Installer::Seen(const std::map<std::string, PresentComponent>& present) {
  for (const auto& [serial, component] : present) sockets_[serial] = component.socket;
}

absl::StatusOr<Socket> Installer::SocketOf(const std::string& ecu_serial) const {
  const auto socket = sockets_.find(ecu_serial);
  if (socket == sockets_.end()) return absl::UnavailableError("the device is not there");
  return socket->second;
}

absl::StatusOr<device::v1::ComponentDescription> Installer::Describe(const std::string& ecu_serial) const {
  ASSIGN_OR_RETURN(const Socket socket, SocketOf(ecu_serial));
  ASSIGN_OR_RETURN(const device::v1::GetDescriptionResponse device, DeviceLink(socket).GetDescription());
  for (const device::v1::ComponentDescription& component : device.components()) {
    if (component.ecu_serial() == ecu_serial) return component;
  }
  return absl::UnavailableError("the device does not have the component now");
}

bool Installer::Rebooting(const Socket& socket) const {
  return std::any_of(state_.attempts().begin(), state_.attempts().end(), [&](const auto& entry) {
    const auto seen = sockets_.find(entry.first);
    return AwaitsReboot(entry.second) && seen != sockets_.end() && seen->second.path == socket.path;
  });
}

std::map<std::string, Attempt> Installer::MembersOf(const std::string& bundle) const {
  std::map<std::string, Attempt> members;
  for (const auto& [serial, attempt] : state_.attempts()) {
    if (attempt.bundle == bundle) members[serial] = attempt;
  }
  return members;
}

absl::Status Installer::CheckReadings(const Order& order) {
  for (const trust::VerifiedUpdate& update : order.updates) {
    if (!update.preconditions.any()) continue;
    ASSIGN_OR_RETURN(const Socket socket, SocketOf(update.ecu_serial));
    const absl::StatusOr<trust::Readings> readings = DeviceLink(socket).GetReadings();
    if (IsGone(readings.status())) return readings.status();
    // A device that cannot tell meets nothing.
    RETURN_IF_ERROR(Annotate(
        trust::CheckPreconditions(update.preconditions, readings.ok() ? *readings : trust::Readings()),
        update.ecu_serial));
  }
  return absl::OkStatus();
}

bool Installer::ReadingsAllow() {
  for (auto waiting = unmet_.begin(); waiting != unmet_.end(); ++waiting) {
    if (!CheckReadings(waiting->second.order).ok()) continue;
    unmet_.erase(waiting);
    return true;
  }
  return false;
}

absl::Status Installer::Install(const Order& order, const HeaderFor& header_for) {
  const std::string& first = order.updates.front().ecu_serial;
  const std::string& bundle = order.updates.front().bundle;
  for (const trust::VerifiedUpdate& update : order.updates) {
    ASSIGN_OR_RETURN(const Socket socket, SocketOf(update.ecu_serial));
    // Another component of the device has it reboot; the next look comes once it is back.
    if (Rebooting(socket)) return absl::OkStatus();
    // A transfer is given minutes, which a device that is silent must not take from its neighbours.
    RETURN_IF_ERROR(DeviceLink(socket).GetDescription().status());
  }
  const auto held = [&](const absl::Status& readings) {
    if (order.offline) return;
    if (unmet_.contains(first) && unmet_[first].why == std::string(readings.message())) return;
    log::Info("preconditions not met", {{"ecu_serial", first}, {"error", readings}});
    unmet_[first] = {order, std::string(readings.message())};
  };
  if (const absl::Status readings = CheckReadings(order); !readings.ok()) {
    if (ReasonOf(readings) != trust::kPreconditionNotMet) return readings;
    if (!unmet_.contains(first) && !order.offline) {
      for (const trust::VerifiedUpdate& update : order.updates) {
        if (state_.FindAttempt(update.ecu_serial) != nullptr) continue;
        progress_.TellNews({.ecu_serial = update.ecu_serial,
                            .sha256 = update.sha256,
                            .phase = UPDATE_PHASE_AWAITING_PRECONDITION,
                            .detail = std::string(readings.message())});
      }
    }
    held(readings);
    // Who brought the package comes again.
    return order.offline ? readings : absl::OkStatus();
  }
  unmet_.erase(first);

  std::map<std::string, Attempt> fresh;
  std::vector<ProgressEntry> agree;
  for (const trust::VerifiedUpdate& update : order.updates) {
    if (state_.FindAttempt(update.ecu_serial) != nullptr) continue;
    fresh[update.ecu_serial] = {.sha256 = update.sha256,
                                .director_version = order.director_version,
                                .bundle = bundle,
                                .target_path = update.path,
                                .version = update.version,
                                .offline = order.offline};
    agree.push_back(
        {.ecu_serial = update.ecu_serial, .sha256 = update.sha256, .phase = UPDATE_PHASE_UPDATING});
  }
  if (!agree.empty() && !order.offline) {
    // From here on nothing calls it back, so the server must agree now: a consent may have been withdrawn
    // meanwhile.
    ASSIGN_OR_RETURN(const std::vector<bool> taken, progress_.Tell(agree));
    if (std::find(taken.begin(), taken.end(), false) != taken.end()) {
      log::Info("called off", {{"ecu_serial", first}, {"bundle", bundle}});
      // Those of a bundle that it agreed to will not come either.
      for (size_t i = 0; i < agree.size(); ++i) {
        if (!taken[i]) continue;
        RETURN_IF_ERROR(End(agree[i].ecu_serial, fresh[agree[i].ecu_serial], UPDATE_PHASE_FAILED,
                            FAILURE_REASON_DEPENDENCY, "another component of the bundle was called off"));
      }
      return TellEnds();
    }
  }
  if (!fresh.empty()) RETURN_IF_ERROR(state_.SaveAttempts(fresh));

  absl::Status result;
  for (const trust::VerifiedUpdate& update : order.updates) {
    const Attempt* attempt = state_.FindAttempt(update.ecu_serial);
    if (attempt == nullptr || attempt->stage != Stage::kTransferring) continue;
    result.Update(Transfer(update, *attempt, header_for));
  }
  if (!bundle.empty()) {
    // Transfers take their time. None is activated before all could be.
    const auto members = MembersOf(bundle);
    const bool begun = std::any_of(members.begin(), members.end(),
                                   [](const auto& member) { return IsUnderWay(member.second); });
    if (const absl::Status readings = CheckReadings(order); !begun && !readings.ok()) {
      if (ReasonOf(readings) != trust::kPreconditionNotMet) return readings;
      held(readings);
      return result;
    }
    result.Update(Advance(bundle));
    return result;
  }
  const Attempt* attempt = state_.FindAttempt(first);
  if (attempt != nullptr && attempt->stage == Stage::kTransferred) {
    result.Update(Activate(first, *attempt));
    // What the device itself finds not to hold is looked at again as what the gateway found.
    attempt = state_.FindAttempt(first);
    if (attempt != nullptr && attempt->stage == Stage::kTransferred && result.ok()) {
      held(absl::FailedPreconditionError("the device finds that its preconditions do not hold"));
    }
  }
  return result;
}

absl::Status Installer::Transfer(const trust::VerifiedUpdate& update, Attempt attempt,
                                 const HeaderFor& header_for) {
  const std::string& serial = update.ecu_serial;
  ASSIGN_OR_RETURN(const Socket socket, SocketOf(serial));
  ASSIGN_OR_RETURN(const device::v1::InstallHeader header, header_for(update));
  log::Info("installing", {{"ecu_serial", serial}, {"device", socket.device_id}, {"sha256", update.sha256}});
  const absl::StatusOr<device::v1::InstallImageResponse> answer =
      DeviceLink(socket).InstallImage(header, ImagePath(state_.image_folder(), update.sha256));
  if (!answer.ok()) return Cut(serial, attempt, answer.status());
  if (!answer->installed()) {
    const FailureReason reason = ReasonOrDefault(answer->failure_reason());
    log::Warn("refused by the device", {{"ecu_serial", serial},
                                        {"reason", FailureReason_Name(reason)},
                                        {"detail", answer->failure_detail()}});
    return End(serial, attempt, UPDATE_PHASE_FAILED, reason, answer->failure_detail());
  }
  if (trust::IsPendingPath(update.path) && !answer->confirmation_required()) {
    // The device was to ask its user.
    return End(serial, attempt, UPDATE_PHASE_FAILED, FAILURE_REASON_NOT_APPROVED,
               "nobody approved the image, and the device does not ask its user about it");
  }
  attempt.stage = answer->confirmation_required() ? Stage::kConfirming : Stage::kTransferred;
  attempt.approval_result = ApprovalName(answer->approval_result());
  RETURN_IF_ERROR(state_.SaveAttempt(serial, attempt));
  log::Info("installed", {{"ecu_serial", serial},
                          {"sha256", update.sha256},
                          {"approval", attempt.approval_result},
                          {"confirmation_required", answer->confirmation_required()}});
  return absl::OkStatus();
}

absl::Status Installer::Activate(const std::string& serial, Attempt attempt) {
  ASSIGN_OR_RETURN(const Socket socket, SocketOf(serial));
  if (!attempt.offline) {
    progress_.TellNews(
        {.ecu_serial = serial, .sha256 = attempt.sha256, .phase = UPDATE_PHASE_REBOOT_PENDING});
  }
  const absl::StatusOr<device::v1::ComponentDescription> described = Describe(serial);
  if (!described.ok()) return Cut(serial, attempt, described.status());
  attempt.rolled_back_before = described->last_update_sha256() == attempt.sha256 &&
                               described->last_update() == UPDATE_PHASE_ROLLED_BACK;
  attempt.stage = Stage::kActivating;
  attempt.activate_time = state_.time().Now();
  RETURN_IF_ERROR(state_.SaveAttempt(serial, attempt));
  const absl::Status status = DeviceLink(socket).ActivateImage(serial, attempt.sha256, attempt.bundle);
  if (IsGone(status)) {
    // It may have heard, and gone down before it answered. Settle() finds out.
    log::Warn("device did not answer to its activation", {{"ecu_serial", serial}, {"error", status}});
    return absl::OkStatus();
  }
  if (!status.ok()) {
    const std::string reason = ReasonOf(status);
    log::Warn("not activated", {{"ecu_serial", serial}, {"error", status}});
    if (reason == trust::kPreconditionNotMet || reason == "NOT_CONFIRMED") {
      attempt.stage = reason == "NOT_CONFIRMED" ? Stage::kConfirming : Stage::kTransferred;
      return state_.SaveAttempt(serial, attempt);
    }
    // What it had is gone: begin again.
    if (reason == "NOT_INSTALLED") return Cut(serial, attempt, absl::UnavailableError(status.message()));
    return End(serial, attempt, UPDATE_PHASE_FAILED, FAILURE_REASON_UPDATE_FAILED, status.message());
  }
  attempt.stage = Stage::kActivated;
  RETURN_IF_ERROR(state_.SaveAttempt(serial, attempt));
  log::Info("activated", {{"ecu_serial", serial}, {"sha256", attempt.sha256}, {"bundle", attempt.bundle}});
  return absl::OkStatus();
}

absl::Status Installer::Cut(const std::string& ecu_serial, Attempt attempt, const absl::Status& status) {
  attempt.stage = Stage::kTransferring;
  ++attempt.cuts;
  log::Warn("transfer to the device cut off",
            {{"ecu_serial", ecu_serial}, {"cuts", attempt.cuts}, {"error", status}});
  if (!IsGone(status) || attempt.cuts >= kMaxCuts) {
    return End(ecu_serial, attempt, UPDATE_PHASE_FAILED, device::FailureReasonOf(status), status.message());
  }
  RETURN_IF_ERROR(state_.SaveAttempt(ecu_serial, attempt));
  return status;
}

bool Installer::awaiting() const {
  return std::any_of(state_.attempts().begin(), state_.attempts().end(), [](const auto& entry) {
    const Attempt& attempt = entry.second;
    return IsUnderWay(attempt) || (attempt.stage == Stage::kEnded && !attempt.reported);
  });
}

absl::Status Installer::Settle() {
  const std::map<std::string, Attempt> attempts = state_.attempts();
  std::set<std::string> bundles;
  for (const auto& [serial, attempt] : attempts) {
    if (AwaitsReboot(attempt)) RETURN_IF_ERROR(SettleOne(serial, attempt));
    if (attempt.stage == Stage::kCommitting) RETURN_IF_ERROR(Commit(serial, attempt));
    // Since this loop began another one may have failed, and this one be on its way back.
    const Attempt* now = state_.FindAttempt(serial);
    if (now != nullptr && now->stage == Stage::kReverting) RETURN_IF_ERROR(Revert(serial, *now));
    if (!attempt.bundle.empty() && attempt.stage != Stage::kEnded) bundles.insert(attempt.bundle);
  }
  for (const std::string& bundle : bundles) RETURN_IF_ERROR(Advance(bundle));
  return TellEnds();
}

absl::Status Installer::SettleOne(const std::string& ecu_serial, Attempt attempt) {
  if (const Attempt* now = state_.FindAttempt(ecu_serial); now == nullptr || now->stage != attempt.stage) {
    return absl::OkStatus();
  }
  const absl::StatusOr<device::v1::ComponentDescription> described = Describe(ecu_serial);
  const bool told = described.ok() && described->last_update_sha256() == attempt.sha256;
  const bool up = told && (described->last_update() == UPDATE_PHASE_VERIFYING ||
                           described->last_update() == UPDATE_PHASE_SUCCEEDED || described->provisional());
  const bool down = told && !up &&
                    (described->last_update() == UPDATE_PHASE_ROLLED_BACK ||
                     described->last_update() == UPDATE_PHASE_FAILED);
  const bool unheard = attempt.stage == Stage::kActivating;
  if (up) {
    log::Info("completed", {{"ecu_serial", ecu_serial}, {"sha256", attempt.sha256}});
    if (!attempt.bundle.empty()) {
      attempt.stage = Stage::kProvisional;
      return state_.SaveAttempt(ecu_serial, attempt);
    }
    changed_ = true;
    return End(ecu_serial, attempt, UPDATE_PHASE_VERIFYING, FAILURE_REASON_UNSPECIFIED, "");
  }
  if (down && !(unheard && attempt.rolled_back_before)) {
    const FailureReason reason = ReasonOrDefault(described->failure_reason());
    log::Warn(
        "rolled back",
        {{"ecu_serial", ecu_serial}, {"sha256", attempt.sha256}, {"reason", FailureReason_Name(reason)}});
    changed_ = true;
    return End(ecu_serial, attempt, described->last_update(), reason,
               "the new image did not come up; the old one runs");
  }
  if (described.ok() && unheard) {
    // It never heard, or the power went before we knew: begin again.
    const absl::Status cut = Cut(ecu_serial, attempt, absl::UnavailableError("the device was not activated"));
    return absl::IsUnavailable(cut) ? absl::OkStatus() : cut;
  }
  if (state_.time().Now() - attempt.activate_time < options_.reboot_timeout) return absl::OkStatus();
  log::Warn("device did not come back", {{"ecu_serial", ecu_serial}, {"sha256", attempt.sha256}});
  return End(ecu_serial, attempt, UPDATE_PHASE_FAILED, FAILURE_REASON_TIMEOUT,
             described.ok() ? "the device does not say how its reboot ended"
                            : "the device did not come back from its reboot");
}

absl::Status Installer::TellEnds() {
  const std::map<std::string, Attempt> attempts = state_.attempts();
  for (const auto& [serial, attempt] : attempts) {
    if (attempt.stage != Stage::kEnded || attempt.reported) continue;
    const absl::Status status = progress_
                                    .Tell({.ecu_serial = serial,
                                           .sha256 = attempt.sha256,
                                           .phase = attempt.phase,
                                           .reason = attempt.reason,
                                           .detail = attempt.detail})
                                    .status();
    // Whether the server takes it or not, it has heard. What it cannot read it will not read the next time
    // either.
    if (!absl::IsInvalidArgument(status)) RETURN_IF_ERROR(status);
    Attempt told = attempt;
    told.reported = true;
    RETURN_IF_ERROR(state_.SaveAttempt(serial, told));
  }
  return absl::OkStatus();
}

std::vector<Confirmation> Installer::confirmations() const {
  std::vector<Confirmation> waiting;
  for (const auto& [serial, attempt] : state_.attempts()) {
    if (attempt.stage != Stage::kConfirming) continue;
    const auto socket = sockets_.find(serial);
    waiting.push_back({.ecu_serial = serial,
                       .device_id = socket == sockets_.end() ? "" : socket->second.device_id,
                       .sha256 = attempt.sha256,
                       .target_path = attempt.target_path,
                       .version = attempt.version,
                       .approval_result = attempt.approval_result});
  }
  return waiting;
}

absl::Status Installer::Answer(const ConfirmationAnswer& answer) {
  const Attempt* found = state_.FindAttempt(answer.ecu_serial);
  if (found == nullptr || found->stage != Stage::kConfirming || found->sha256 != answer.sha256) {
    return absl::OkStatus();
  }
  Attempt attempt = *found;
  ASSIGN_OR_RETURN(const Socket socket, SocketOf(answer.ecu_serial));
  const absl::Status status =
      DeviceLink(socket).ConfirmImage(answer.ecu_serial, answer.sha256, answer.confirm, answer.principal_id);
  log::Info("user's word passed on", {{"ecu_serial", answer.ecu_serial},
                                      {"confirm", answer.confirm},
                                      {"principal", answer.principal_id},
                                      {"status", status}});
  if (IsGone(status)) return absl::UnavailableError(status.message());
  if (!answer.confirm) {
    return End(answer.ecu_serial, attempt, UPDATE_PHASE_FAILED, FAILURE_REASON_USER_REJECTED,
               absl::StrCat("the user declined an image whose approval is not in order (",
                            attempt.approval_result, ")"));
  }
  if (!status.ok()) {
    // What waited is not there any more: begin again.
    const absl::Status cut = Cut(answer.ecu_serial, attempt, absl::UnavailableError(status.message()));
    return absl::IsUnavailable(cut) ? absl::OkStatus() : cut;
  }
  attempt.stage = Stage::kTransferred;
  RETURN_IF_ERROR(state_.SaveAttempt(answer.ecu_serial, attempt));
  const absl::Status activated =
      attempt.bundle.empty() ? Activate(answer.ecu_serial, attempt) : Advance(attempt.bundle);
  // It is on disk: the next look goes on.
  return IsGone(activated) ? absl::OkStatus() : activated;
}

std::vector<ComponentProgress> Installer::progress() const {
  std::vector<ComponentProgress> all;
  for (const auto& [serial, attempt] : state_.attempts()) {
    ComponentProgress one{.ecu_serial = serial,
                          .sha256 = attempt.sha256,
                          .version = attempt.version,
                          .reason = attempt.reason,
                          .detail = attempt.detail};
    if (const auto socket = sockets_.find(serial); socket != sockets_.end()) {
      one.device_id = socket->second.device_id;
    }
    switch (attempt.stage) {
      case Stage::kTransferring:
      case Stage::kTransferred:
      case Stage::kReverting:
        one.phase = UPDATE_PHASE_UPDATING;
        break;
      case Stage::kConfirming:
        one.phase = UPDATE_PHASE_AWAITING_CONSENT;
        break;
      case Stage::kActivating:
      case Stage::kActivated:
        one.phase = UPDATE_PHASE_REBOOT_PENDING;
        break;
      case Stage::kProvisional:
      case Stage::kCommitting:
        one.phase = UPDATE_PHASE_VERIFYING;
        break;
      case Stage::kEnded:
        one.phase = attempt.phase;
        break;
    }
    all.push_back(std::move(one));
  }
  for (const auto& [first, waiting] : unmet_) {
    for (const trust::VerifiedUpdate& update : waiting.order.updates) {
      const auto same = std::find_if(all.begin(), all.end(), [&](const ComponentProgress& one) {
        return one.ecu_serial == update.ecu_serial;
      });
      ComponentProgress& one = same == all.end() ? all.emplace_back() : *same;
      one.ecu_serial = update.ecu_serial;
      one.sha256 = update.sha256;
      one.version = update.version;
      one.phase = UPDATE_PHASE_AWAITING_PRECONDITION;
      one.detail = waiting.why;
    }
  }
  return all;
}

}  // namespace countersign::gateway
