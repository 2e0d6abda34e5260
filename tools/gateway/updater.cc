#include "tools/gateway/updater.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <functional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/clock/clock.h"
#include "common/log/log.h"
#include "common/rpc/channel.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/trust/reasons.h"
#include "countersign/package_store/v1/package_store.grpc.pb.h"
#include "countersign/rollout/v1/rollout.grpc.pb.h"
#include "tools/device/failure.h"
#include "tools/gateway/image_file.h"
#include "tools/gateway/link.h"

namespace countersign::gateway {
namespace {

using namespace common::v1;
using package_store::v1::PackageStoreService;
using rollout::v1::RolloutService;

constexpr absl::Duration kCallTimeout = absl::Seconds(20);
// A device whose transfers break off this often does not get the image.
constexpr int kMaxCuts = 5;
constexpr size_t kMaxDetail = 1000;

// What the server takes as a detail: at most kMaxDetail bytes, cut between characters, without NUL.
std::string Clip(absl::string_view text) {
  if (text.size() > kMaxDetail) {
    size_t end = kMaxDetail;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
    text = text.substr(0, end);
  }
  std::string clipped(text);
  std::replace(clipped.begin(), clipped.end(), '\0', ' ');
  return clipped;
}

// The reason that a device gives, if it gives one that exists.
FailureReason ReasonOrDefault(FailureReason reason) {
  return reason == FAILURE_REASON_UNSPECIFIED || !FailureReason_IsValid(reason) ? FAILURE_REASON_UPDATE_FAILED
                                                                                : reason;
}

// The device has been told to boot, or is being told.
bool AwaitsReboot(const Attempt& attempt) {
  return attempt.stage == Attempt::Stage::kActivating || attempt.stage == Attempt::Stage::kActivated;
}

// Worth trying again: the image did not come, rather than came wrong.
bool IsTransient(const absl::Status& status) {
  return !IsRefusal(status) || absl::IsDeadlineExceeded(status);
}

}  // namespace

// The files of a repository, over a call to a service.
class Updater::Metadata : public trust::Fetcher {
 public:
  using Call = std::function<absl::StatusOr<std::string>(const std::string& file_name)>;
  explicit Metadata(Call call) : call_(std::move(call)) {}

  absl::StatusOr<std::string> Fetch(absl::string_view filename, int64_t max_length) override {
    absl::StatusOr<std::string> content = call_(std::string(filename));
    if (absl::IsNotFound(content.status())) return absl::NotFoundError(content.status().message());
    // Whatever else the server says is no verdict on metadata: without its reason it does not look like one.
    if (!content.ok()) return absl::UnavailableError(content.status().message());
    if (static_cast<int64_t>(content->size()) > max_length) {
      return trust::Refuse(trust::kLengthExceeded,
                           absl::StrCat(filename, " has more than ", max_length, " bytes"));
    }
    return content;
  }

 private:
  const Call call_;
};

Updater::Updater(UpdaterOptions options, std::shared_ptr<grpc::Channel> rollout,
                 std::shared_ptr<grpc::Channel> package_store, State* state)
    : options_(std::move(options)),
      rollout_(std::move(rollout)),
      package_store_(std::move(package_store)),
      state_(*state),
      director_metadata_(
          std::make_unique<Metadata>([this](const std::string& name) -> absl::StatusOr<std::string> {
            rpc::CallContext context(kCallTimeout);
            rollout::v1::GetDirectorMetadataRequest request;
            request.set_file_name(name);
            rollout::v1::GetDirectorMetadataResponse response;
            RETURN_IF_ERROR(rpc::FromGrpc(
                RolloutService::NewStub(rollout_)->GetDirectorMetadata(context.get(), request, &response)));
            return std::move(*response.mutable_content());
          })),
      image_metadata_(std::make_unique<Metadata>([this](
                                                     const std::string& name) -> absl::StatusOr<std::string> {
        rpc::CallContext context(kCallTimeout);
        package_store::v1::GetMetadataRequest request;
        request.set_file_name(name);
        package_store::v1::MetadataFile response;
        RETURN_IF_ERROR(rpc::FromGrpc(
            PackageStoreService::NewStub(package_store_)->GetMetadata(context.get(), request, &response)));
        return std::move(*response.mutable_content());
      })),
      verification_(director_metadata_.get(), options_.director_root, image_metadata_.get(),
                    options_.image_root, state),
      downloader_(options_.downloads, package_store_, state->image_folder()) {}

Updater::~Updater() = default;

bool Updater::awaiting() const {
  return std::any_of(state_.attempts().begin(), state_.attempts().end(), [](const auto& entry) {
    const Attempt& attempt = entry.second;
    return AwaitsReboot(attempt) || (attempt.stage == Attempt::Stage::kEnded && !attempt.reported);
  });
}

std::vector<trust::InstalledComponent> Updater::Known(
    const std::map<std::string, PresentComponent>& present) const {
  // A device that is switched off must not make the Director's word look like one for another home.
  std::map<std::string, trust::InstalledComponent> known;
  for (const auto& [serial, component] : state_.components()) {
    known[serial] = {serial, component.hardware_id, component.release_counter};
  }
  for (const auto& [serial, component] : present) {
    known[serial] = {serial, component.hardware_id, component.release_counter};
  }
  std::vector<trust::InstalledComponent> components;
  for (auto& [serial, component] : known) components.push_back(std::move(component));
  return components;
}

Verdict Updater::Verify(const std::map<std::string, PresentComponent>& present) {
  Verdict verdict = verification_.Verify(Known(present), SystemClock().Now());
  if (verdict.status.ok()) {
    director_version_ = verdict.director_version;
    log::Info("verified",
              {{"director_version", verdict.director_version}, {"updates", verdict.updates.size()}});
  } else if (IsRefusal(verdict.status)) {
    log::Warn("metadata refused", {{"reason", ReasonOf(verdict.status)}, {"error", verdict.status}});
  }
  return verdict;
}

absl::Status Updater::Look(const std::map<std::string, PresentComponent>& present) {
  for (const auto& [serial, component] : present) sockets_[serial] = component.socket;
  RETURN_IF_ERROR(TellEnds());
  Verdict verdict = Verify(present);
  if (IsRefusal(verdict.status)) return NoteRefused(verdict, present);
  RETURN_IF_ERROR(verdict.status);

  RETURN_IF_ERROR(ForgetOthers(verdict.updates));

  // All images first, so that components that belong together change together.
  absl::Status result;
  bool downloaded = false;
  for (const trust::VerifiedUpdate& update : verdict.updates) {
    ASSIGN_OR_RETURN(const bool due, IsDue(update, verdict.director_version, present));
    if (!due || CheckImage(state_.image_folder(), update.sha256, update.length).ok()) continue;
    const absl::Status status = Fetch(update, present.at(update.ecu_serial).sha256);
    downloaded = true;
    if (IsTransient(status)) {
      result.Update(status);
    } else if (!status.ok()) {
      RETURN_IF_ERROR(End(update.ecu_serial,
                          {.sha256 = update.sha256, .director_version = verdict.director_version},
                          UPDATE_PHASE_FAILED, device::FailureReasonOf(status), status.message()));
    }
  }
  // A download takes its time: what is installed is what the Director says now.
  if (downloaded) {
    verdict = Verify(present);
    if (IsRefusal(verdict.status)) return NoteRefused(verdict, present);
    RETURN_IF_ERROR(verdict.status);
  }
  for (const trust::VerifiedUpdate& update : verdict.updates) {
    ASSIGN_OR_RETURN(const bool due, IsDue(update, verdict.director_version, present));
    if (!due || !CheckImage(state_.image_folder(), update.sha256, update.length).ok()) continue;
    const PresentComponent& component = present.at(update.ecu_serial);
    // Another component of the device has it reboot; the next look comes once it is back.
    if (Rebooting(component.socket)) continue;
    result.Update(Install(update, component, verdict.director_version));
  }
  result.Update(TellEnds());
  return result;
}

bool Updater::Rebooting(const Socket& socket) const {
  return std::any_of(state_.attempts().begin(), state_.attempts().end(), [&](const auto& entry) {
    const auto seen = sockets_.find(entry.first);
    return AwaitsReboot(entry.second) && seen != sockets_.end() && seen->second.path == socket.path;
  });
}

absl::Status Updater::ForgetOthers(const std::vector<trust::VerifiedUpdate>& updates) {
  std::set<std::string> images;
  std::set<std::pair<std::string, std::string>> named;
  for (const trust::VerifiedUpdate& update : updates) {
    images.insert(update.sha256);
    named.insert({update.ecu_serial, update.sha256});
  }
  int64_t cached = 0;
  for (const auto& [serial, component] : state_.components()) {
    const absl::StatusOr<int64_t> length = ImageLength(state_.image_folder(), component.sha256);
    if (!length.ok() || *length > options_.downloads.delta_max_bytes || images.contains(component.sha256) ||
        cached + *length > options_.image_cache_bytes) {
      continue;
    }
    cached += *length;
    images.insert(component.sha256);
  }
  RETURN_IF_ERROR(RemoveOtherImages(state_.image_folder(), images));
  const std::map<std::string, Attempt> attempts = state_.attempts();
  for (const auto& [serial, attempt] : attempts) {
    // What the device has been told to boot comes to its own end.
    const bool over = attempt.stage == Attempt::Stage::kTransferring ||
                      (attempt.stage == Attempt::Stage::kEnded && attempt.reported);
    if (over && !named.contains({serial, attempt.sha256})) RETURN_IF_ERROR(state_.RemoveAttempt(serial));
  }
  return absl::OkStatus();
}

absl::Status Updater::NoteRefused(const Verdict& verdict,
                                  const std::map<std::string, PresentComponent>& present) {
  for (const RefusedEntry& entry : verdict.refused) {
    const auto component = present.find(entry.ecu_serial);
    if (component != present.end() && component->second.sha256 == entry.sha256) continue;
    const Attempt* attempt = state_.FindAttempt(entry.ecu_serial);
    // What the device has been told to boot comes to its own end.
    if (attempt != nullptr && (AwaitsReboot(*attempt) ||
                               (attempt->stage == Attempt::Stage::kEnded && attempt->sha256 == entry.sha256 &&
                                attempt->director_version == verdict.director_version))) {
      continue;
    }
    log::Warn("update refused", {{"ecu_serial", entry.ecu_serial},
                                 {"sha256", entry.sha256},
                                 {"reason", ReasonOf(entry.status)},
                                 {"error", entry.status}});
    RETURN_IF_ERROR(End(entry.ecu_serial,
                        {.sha256 = entry.sha256, .director_version = verdict.director_version},
                        UPDATE_PHASE_FAILED, device::FailureReasonOf(entry.status), entry.status.message()));
  }
  return TellEnds();
}

absl::StatusOr<bool> Updater::IsDue(const trust::VerifiedUpdate& update, int64_t director_version,
                                    const std::map<std::string, PresentComponent>& present) {
  const auto component = present.find(update.ecu_serial);
  if (component == present.end()) return false;
  const Attempt* attempt = state_.FindAttempt(update.ecu_serial);
  if (attempt != nullptr && AwaitsReboot(*attempt)) return false;
  if (component->second.sha256 == update.sha256) {
    RETURN_IF_ERROR(state_.RemoveAttempt(update.ecu_serial));
    return false;
  }
  if (attempt == nullptr) return true;
  const bool superseded = attempt->sha256 != update.sha256 || (attempt->stage == Attempt::Stage::kEnded &&
                                                               attempt->director_version != director_version);
  if (superseded) RETURN_IF_ERROR(state_.RemoveAttempt(update.ecu_serial));
  return superseded || attempt->stage == Attempt::Stage::kTransferring;
}

absl::Status Updater::Fetch(const trust::VerifiedUpdate& update, const std::string& base_sha256) {
  const auto tell = [&](UpdatePhase phase, FailureReason reason = FAILURE_REASON_UNSPECIFIED,
                        absl::string_view detail = "") {
    // Only news: the server does without, or says at UPDATING that it is called off.
    if (const auto told = Tell(update.ecu_serial, update.sha256, phase, reason, detail); !told.ok()) {
      log::Warn("progress not told", {{"ecu_serial", update.ecu_serial}, {"error", told.status()}});
    }
  };
  log::Info("downloading", {{"ecu_serial", update.ecu_serial},
                            {"path", update.path},
                            {"sha256", update.sha256},
                            {"bytes", update.length}});
  tell(UPDATE_PHASE_DOWNLOADING);
  const absl::Status status = downloader_.Download(update, base_sha256, [&](const absl::Status& bad) {
    log::Warn("bad delta", {{"sha256", update.sha256}, {"base_sha256", base_sha256}, {"error", bad}});
    tell(UPDATE_PHASE_DOWNLOADING, FAILURE_REASON_INTEGRITY, bad.message());
  });
  if (!status.ok()) {
    log::Warn("download broken off",
              {{"sha256", update.sha256}, {"reason", ReasonOf(status)}, {"error", status}});
    if (IsTransient(status)) tell(UPDATE_PHASE_DOWNLOADING, FAILURE_REASON_CONNECTION_LOST, status.message());
    return status;
  }
  log::Info("downloaded", {{"ecu_serial", update.ecu_serial}, {"sha256", update.sha256}});
  tell(UPDATE_PHASE_DOWNLOADED);
  return absl::OkStatus();
}

absl::Status Updater::Install(const trust::VerifiedUpdate& update, const PresentComponent& component,
                              int64_t director_version) {
  const std::string& serial = update.ecu_serial;
  DeviceLink link(component.socket);
  // A transfer is given minutes, which a device that is silent must not take from its neighbours.
  RETURN_IF_ERROR(link.GetDescription().status());
  const Attempt* before = state_.FindAttempt(serial);
  Attempt attempt;
  if (before != nullptr) attempt = *before;
  attempt.sha256 = update.sha256;
  attempt.director_version = director_version;
  if (before == nullptr) {
    // From here on nothing calls it back, so the server must agree now: a consent may have been withdrawn
    // meanwhile.
    ASSIGN_OR_RETURN(const bool taken, Tell(serial, update.sha256, UPDATE_PHASE_UPDATING));
    if (!taken) {
      log::Info("called off", {{"ecu_serial", serial}, {"sha256", update.sha256}});
      return absl::OkStatus();
    }
  }
  RETURN_IF_ERROR(state_.SaveAttempt(serial, attempt));

  ASSIGN_OR_RETURN(const device::v1::InstallHeader header, verification_.HeaderFor(update));
  log::Info("installing",
            {{"ecu_serial", serial}, {"device", component.socket.device_id}, {"sha256", update.sha256}});
  const absl::StatusOr<device::v1::InstallImageResponse> answer =
      link.InstallImage(header, ImagePath(state_.image_folder(), update.sha256));
  if (!answer.ok()) return Cut(serial, attempt, answer.status());
  if (!answer->installed()) {
    const FailureReason reason = ReasonOrDefault(answer->failure_reason());
    log::Warn("refused by the device", {{"ecu_serial", serial},
                                        {"reason", FailureReason_Name(reason)},
                                        {"detail", answer->failure_detail()}});
    return End(serial, attempt, UPDATE_PHASE_FAILED, reason, answer->failure_detail());
  }
  log::Info("installed", {{"ecu_serial", serial}, {"sha256", update.sha256}});
  return Activate(update, component, attempt);
}

absl::Status Updater::Activate(const trust::VerifiedUpdate& update, const PresentComponent& component,
                               Attempt attempt) {
  const std::string& serial = update.ecu_serial;
  if (const auto told = Tell(serial, update.sha256, UPDATE_PHASE_REBOOT_PENDING); !told.ok()) {
    log::Warn("progress not told", {{"ecu_serial", serial}, {"error", told.status()}});
  }
  DeviceLink link(component.socket);
  const absl::StatusOr<device::v1::GetDescriptionResponse> device = link.GetDescription();
  if (!device.ok()) return Cut(serial, attempt, device.status());
  attempt.rolled_back_before = false;
  for (const device::v1::ComponentDescription& described : device->components()) {
    if (described.ecu_serial() == serial && described.last_update_sha256() == update.sha256 &&
        described.last_update() == UPDATE_PHASE_ROLLED_BACK) {
      attempt.rolled_back_before = true;
    }
  }
  attempt.stage = Attempt::Stage::kActivating;
  attempt.activate_time = SystemClock().Now();
  RETURN_IF_ERROR(state_.SaveAttempt(serial, attempt));
  const absl::Status status = link.ActivateImage(serial, update.sha256);
  if (absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) || absl::IsCancelled(status)) {
    // It may have heard, and gone down before it answered. Settle() finds out.
    log::Warn("device did not answer to its activation", {{"ecu_serial", serial}, {"error", status}});
    return absl::OkStatus();
  }
  if (!status.ok()) {
    return End(serial, attempt, UPDATE_PHASE_FAILED, FAILURE_REASON_UPDATE_FAILED, status.message());
  }
  attempt.stage = Attempt::Stage::kActivated;
  RETURN_IF_ERROR(state_.SaveAttempt(serial, attempt));
  log::Info("activated", {{"ecu_serial", serial}, {"sha256", update.sha256}});
  return absl::OkStatus();
}

absl::Status Updater::Cut(const std::string& ecu_serial, Attempt attempt, const absl::Status& status) {
  attempt.stage = Attempt::Stage::kTransferring;
  ++attempt.cuts;
  log::Warn("transfer to the device cut off",
            {{"ecu_serial", ecu_serial}, {"cuts", attempt.cuts}, {"error", status}});
  const bool gone =
      absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) || absl::IsCancelled(status);
  if (!gone || attempt.cuts >= kMaxCuts) {
    return End(ecu_serial, attempt, UPDATE_PHASE_FAILED, device::FailureReasonOf(status), status.message());
  }
  RETURN_IF_ERROR(state_.SaveAttempt(ecu_serial, attempt));
  return status;
}

absl::Status Updater::Settle(const std::map<std::string, PresentComponent>& present) {
  for (const auto& [serial, component] : present) sockets_[serial] = component.socket;
  const std::map<std::string, Attempt> attempts = state_.attempts();
  for (const auto& [serial, attempt] : attempts) {
    if (AwaitsReboot(attempt)) RETURN_IF_ERROR(SettleOne(serial, attempt));
  }
  return TellEnds();
}

absl::Status Updater::SettleOne(const std::string& ecu_serial, Attempt attempt) {
  const auto socket = sockets_.find(ecu_serial);
  absl::StatusOr<device::v1::GetDescriptionResponse> device =
      absl::UnavailableError("the device is not there");
  if (socket != sockets_.end()) device = DeviceLink(socket->second).GetDescription();
  device::v1::ComponentDescription described;
  if (device.ok()) {
    for (const device::v1::ComponentDescription& component : device->components()) {
      if (component.ecu_serial() == ecu_serial) described = component;
    }
  }
  const bool told = described.last_update_sha256() == attempt.sha256;
  const bool up = told && (described.last_update() == UPDATE_PHASE_VERIFYING ||
                           described.last_update() == UPDATE_PHASE_SUCCEEDED);
  const bool down = told && (described.last_update() == UPDATE_PHASE_ROLLED_BACK ||
                             described.last_update() == UPDATE_PHASE_FAILED);
  const bool unheard = attempt.stage == Attempt::Stage::kActivating;
  if (up) {
    log::Info("completed", {{"ecu_serial", ecu_serial}, {"sha256", attempt.sha256}});
    RETURN_IF_ERROR(End(ecu_serial, attempt, UPDATE_PHASE_VERIFYING, FAILURE_REASON_UNSPECIFIED, ""));
    changed_ = true;
    return absl::OkStatus();
  }
  if (down && !(unheard && attempt.rolled_back_before)) {
    const FailureReason reason = ReasonOrDefault(described.failure_reason());
    log::Warn(
        "rolled back",
        {{"ecu_serial", ecu_serial}, {"sha256", attempt.sha256}, {"reason", FailureReason_Name(reason)}});
    changed_ = true;
    return End(ecu_serial, attempt, described.last_update(), reason,
               "the new image did not come up; the old one runs");
  }
  if (device.ok() && unheard) {
    // It never heard, or the power went before we knew: begin again.
    const absl::Status cut = Cut(ecu_serial, attempt, absl::UnavailableError("the device was not activated"));
    return absl::IsUnavailable(cut) ? absl::OkStatus() : cut;
  }
  if (SystemClock().Now() - attempt.activate_time < options_.reboot_timeout) return absl::OkStatus();
  log::Warn("device did not come back", {{"ecu_serial", ecu_serial}, {"sha256", attempt.sha256}});
  return End(ecu_serial, attempt, UPDATE_PHASE_FAILED, FAILURE_REASON_TIMEOUT,
             device.ok() ? "the device does not say how its reboot ended"
                         : "the device did not come back from its reboot");
}

absl::Status Updater::End(const std::string& ecu_serial, Attempt attempt, UpdatePhase phase,
                          FailureReason reason, absl::string_view detail) {
  attempt.stage = Attempt::Stage::kEnded;
  attempt.phase = phase;
  attempt.reason = reason;
  attempt.detail = Clip(detail);
  attempt.reported = false;
  return state_.SaveAttempt(ecu_serial, attempt);
}

absl::Status Updater::TellEnds() {
  const std::map<std::string, Attempt> attempts = state_.attempts();
  for (const auto& [serial, attempt] : attempts) {
    if (attempt.stage != Attempt::Stage::kEnded || attempt.reported) continue;
    const absl::Status status =
        Tell(serial, attempt.sha256, attempt.phase, attempt.reason, attempt.detail).status();
    // Whether the server takes it or not, it has heard. What it cannot read it will not read the next time
    // either.
    if (!absl::IsInvalidArgument(status)) RETURN_IF_ERROR(status);
    Attempt told = attempt;
    told.reported = true;
    RETURN_IF_ERROR(state_.SaveAttempt(serial, told));
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> Updater::Tell(const std::string& ecu_serial, const std::string& sha256,
                                   UpdatePhase phase, FailureReason reason, absl::string_view detail) {
  rollout::v1::ReportProgressRequest request;
  rollout::v1::Progress& progress = *request.add_progress();
  progress.set_ecu_serial(ecu_serial);
  progress.set_sha256(sha256);
  progress.set_phase(phase);
  progress.set_failure_reason(reason);
  progress.set_failure_detail(Clip(detail));
  rpc::CallContext context(kCallTimeout);
  rollout::v1::ReportProgressResponse response;
  RETURN_IF_ERROR(
      rpc::FromGrpc(RolloutService::NewStub(rollout_)->ReportProgress(context.get(), request, &response)));
  const bool taken = response.accepted_size() == 1 && response.accepted(0);
  log::Info("told", {{"ecu_serial", ecu_serial},
                     {"phase", UpdatePhase_Name(phase)},
                     {"reason", FailureReason_Name(reason)},
                     {"taken", taken}});
  return taken;
}

}  // namespace countersign::gateway
