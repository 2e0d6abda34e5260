// Bundles: all of them or none.
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/log/log.h"
#include "common/status/macros.h"
#include "tools/gateway/installer.h"
#include "tools/gateway/link.h"

namespace countersign::gateway {
namespace {

using namespace common::v1;
using Stage = Attempt::Stage;

bool HasFailed(const Attempt& attempt) {
  return attempt.stage == Stage::kReverting ||
         (attempt.stage == Stage::kEnded && attempt.phase != UPDATE_PHASE_VERIFYING);
}

}  // namespace

absl::Status Installer::Advance(const std::string& bundle) {
  const std::map<std::string, Attempt> members = MembersOf(bundle);
  std::map<std::string, Attempt> commit;
  bool all_up = true;
  for (const auto& [serial, attempt] : members) {
    if (HasFailed(attempt) || attempt.stage == Stage::kTransferring || attempt.stage == Stage::kConfirming) {
      return absl::OkStatus();
    }
    all_up = all_up && (attempt.stage == Stage::kProvisional || attempt.stage == Stage::kCommitting ||
                        attempt.stage == Stage::kEnded);
    if (attempt.stage == Stage::kProvisional) commit[serial] = attempt;
  }
  if (all_up) {
    for (auto& [serial, attempt] : commit) attempt.stage = Stage::kCommitting;
    if (!commit.empty()) {
      log::Info("bundle commits", {{"bundle", bundle}, {"components", members.size()}});
      RETURN_IF_ERROR(state_.SaveAttempts(commit));
    }
    for (const auto& [serial, attempt] : MembersOf(bundle)) {
      if (attempt.stage == Stage::kCommitting) RETURN_IF_ERROR(Commit(serial, attempt));
    }
    return absl::OkStatus();
  }
  for (const auto& [serial, attempt] : members) {
    const Attempt* now = state_.FindAttempt(serial);
    if (now == nullptr || now->stage != Stage::kTransferred) continue;
    const absl::StatusOr<Socket> socket = SocketOf(serial);
    // Two components of one device go one after the other.
    if (!socket.ok() || Rebooting(*socket)) continue;
    const absl::Status status = Activate(serial, *now);
    if (!status.ok() && !IsGone(status)) return status;
  }
  return absl::OkStatus();
}

absl::Status Installer::Commit(const std::string& ecu_serial, Attempt attempt) {
  const absl::StatusOr<Socket> socket = SocketOf(ecu_serial);
  if (!socket.ok()) return absl::OkStatus();
  const absl::Status status = DeviceLink(*socket).CommitImage(ecu_serial, attempt.sha256);
  // All the others have: it will, whenever it comes back.
  if (IsGone(status)) return absl::OkStatus();
  changed_ = true;
  if (status.ok()) {
    log::Info("committed", {{"ecu_serial", ecu_serial}, {"sha256", attempt.sha256}});
    return End(ecu_serial, attempt, UPDATE_PHASE_VERIFYING, FAILURE_REASON_UNSPECIFIED, "");
  }
  log::Warn("not committed", {{"ecu_serial", ecu_serial}, {"error", status}});
  return End(ecu_serial, attempt, UPDATE_PHASE_FAILED, FAILURE_REASON_UPDATE_FAILED, status.message());
}

absl::Status Installer::Revert(const std::string& ecu_serial, Attempt attempt) {
  const absl::StatusOr<device::v1::ComponentDescription> described = Describe(ecu_serial);
  if (!described.ok()) return absl::OkStatus();  // it goes back when it comes back
  const bool told = described->last_update_sha256() == attempt.sha256;
  if (told && described->provisional()) {
    ASSIGN_OR_RETURN(const Socket socket, SocketOf(ecu_serial));
    const absl::Status status = DeviceLink(socket).RevertImage(ecu_serial, attempt.sha256);
    log::Info("told to go back", {{"ecu_serial", ecu_serial}, {"status", status}});
    if (status.ok() || IsGone(status)) return absl::OkStatus();
    changed_ = true;
    return End(ecu_serial, attempt, UPDATE_PHASE_FAILED, FAILURE_REASON_ROLLBACK_FAILED, status.message());
  }
  changed_ = true;
  if (told && (described->last_update() == UPDATE_PHASE_VERIFYING ||
               described->last_update() == UPDATE_PHASE_SUCCEEDED)) {
    return End(ecu_serial, attempt, UPDATE_PHASE_FAILED, FAILURE_REASON_ROLLBACK_FAILED,
               absl::StrCat("the device does not go back; ", attempt.detail));
  }
  log::Info("went back", {{"ecu_serial", ecu_serial}, {"sha256", attempt.sha256}});
  return End(ecu_serial, attempt, UPDATE_PHASE_ROLLED_BACK, attempt.reason, attempt.detail);
}

absl::Status Installer::End(const std::string& ecu_serial, Attempt attempt, UpdatePhase phase,
                            FailureReason reason, absl::string_view detail) {
  const bool may_run = !attempt.bundle.empty() && IsUnderWay(attempt) && reason == FAILURE_REASON_TIMEOUT;
  // One that has not come back may come back with the new image.
  attempt.stage = may_run ? Stage::kReverting : Stage::kEnded;
  attempt.phase = phase;
  attempt.reason = reason;
  attempt.detail = ClipDetail(detail);
  attempt.reported = false;
  std::map<std::string, Attempt> changed = {{ecu_serial, attempt}};
  if (!attempt.bundle.empty() && phase != UPDATE_PHASE_VERIFYING) {
    const std::string why =
        absl::StrCat("component ", ecu_serial, " of the bundle failed: ", FailureReason_Name(reason),
                     detail.empty() ? "" : ", ", detail);
    for (auto [serial, other] : MembersOf(attempt.bundle)) {
      if (serial == ecu_serial || other.stage == Stage::kEnded || other.stage == Stage::kCommitting ||
          other.stage == Stage::kReverting) {
        continue;
      }
      const bool begun = IsUnderWay(other);
      other.stage = begun ? Stage::kReverting : Stage::kEnded;
      other.phase = begun ? UPDATE_PHASE_ROLLED_BACK : UPDATE_PHASE_FAILED;
      other.reason = FAILURE_REASON_DEPENDENCY;
      other.detail = ClipDetail(why);
      other.reported = false;
      changed[serial] = other;
      log::Warn("goes back with its bundle",
                {{"ecu_serial", serial}, {"bundle", other.bundle}, {"because", ecu_serial}});
    }
  }
  return state_.SaveAttempts(changed);
}

absl::Status Installer::Adopt(const std::string& ecu_serial, const PresentComponent& component,
                              const trust::VerifiedUpdate* update, int64_t director_version) {
  Attempt attempt{.sha256 = component.sha256, .director_version = director_version};
  if (update != nullptr && !update->bundle.empty() && update->sha256 == component.sha256) {
    attempt.stage = Stage::kProvisional;
    attempt.bundle = update->bundle;
    attempt.target_path = update->path;
    attempt.version = update->version;
  } else {
    attempt.stage = Stage::kReverting;
    attempt.phase = UPDATE_PHASE_ROLLED_BACK;
    attempt.reason = FAILURE_REASON_DEPENDENCY;
    attempt.detail = "nobody orders the bundle any more that the image ran provisionally for";
  }
  log::Warn("provisional image found",
            {{"ecu_serial", ecu_serial}, {"sha256", component.sha256}, {"bundle", attempt.bundle}});
  return state_.SaveAttempt(ecu_serial, attempt);
}

}  // namespace countersign::gateway
