#include "tools/gateway/updater.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/log/log.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/trust/reasons.h"
#include "tools/device/failure.h"
#include "tools/gateway/image_file.h"

namespace countersign::gateway {
namespace {

using namespace common::v1;
using Stage = Attempt::Stage;

// Worth trying again: the image did not come, rather than came wrong.
bool IsTransient(const absl::Status& status) {
  return !IsRefusal(status) || absl::IsDeadlineExceeded(status);
}

bool HasFailed(const Attempt* attempt) {
  return attempt != nullptr && attempt->stage == Stage::kEnded && attempt->phase != UPDATE_PHASE_VERIFYING;
}

}  // namespace

Updater::Updater(UpdaterOptions options, std::shared_ptr<grpc::Channel> rollout,
                 std::shared_ptr<grpc::Channel> package_store, Incidents* incidents, State* state)
    : options_(std::move(options)),
      package_store_(std::move(package_store)),
      incidents_(*incidents),
      state_(*state),
      director_metadata_(DirectorFetcher(rollout)),
      image_metadata_(ImageRepositoryFetcher(package_store_)),
      verification_(director_metadata_.get(), options_.director_root, image_metadata_.get(),
                    options_.image_root, state),
      downloader_(options_.downloads, package_store_, state->image_folder()),
      progress_(std::move(rollout)),
      installer_({.reboot_timeout = options_.reboot_timeout}, &progress_, state),
      quarantine_(options_.quarantine_hook, incidents, state) {}

Updater::~Updater() = default;

void Updater::Changed() const {
  if (options_.on_change) options_.on_change();
}

bool Updater::TakeChanged() {
  const bool installed = installer_.TakeChanged();
  return std::exchange(changed_, false) || installed;
}

std::vector<trust::InstalledComponent> Updater::Known(const Present& present) const {
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

Verdict Updater::Verify(const Present& present) {
  const absl::Time now = state_.time().Now();
  if (state_.time().behind()) {
    incidents_.Note("CLOCK_BEHIND", "", "",
                    "the gateway's clock is before a time that it was known to have been");
  }
  Verdict verdict = verification_.Verify(Known(present), now);
  if (verdict.status.ok()) {
    if (const absl::Status kept = state_.time().Raise(now); !kept.ok()) {
      log::Error("the time is not kept", {{"error", kept}});
    }
    director_version_ = verdict.director_version;
    log::Info("verified",
              {{"director_version", verdict.director_version}, {"updates", verdict.updates.size()}});
  } else if (IsRefusal(verdict.status)) {
    log::Warn("metadata refused", {{"reason", ReasonOf(verdict.status)}, {"error", verdict.status}});
    // Entries that are refused are told with their components.
    if (verdict.refused.empty()) incidents_.Note(verdict.status, "METADATA_REFUSED");
  } else {
    incidents_.NoteIfForged("rollout or package store", verdict.status);
  }
  return verdict;
}

void Updater::ApplyOrders(const Verdict& verdict, const Present& present) {
  if (verdict.director_version == 0) return;
  const absl::StatusOr<device::v1::ApplyOrdersRequest> orders = verification_.Orders();
  if (!orders.ok()) {
    log::Error("no orders for devices", {{"error", orders.status()}});
    return;
  }
  if (quarantine_.Apply(verdict.quarantine, *orders, present)) changed_ = true;
}

absl::Status Updater::Look(const Present& present) {
  installer_.Seen(present);
  RETURN_IF_ERROR(installer_.TellEnds());
  Verdict verdict = Verify(present);
  verdict_ = verdict.status;
  pending_updates_ = 0;
  ApplyOrders(verdict, present);
  if (IsRefusal(verdict.status)) return NoteRefused(verdict, present);
  RETURN_IF_ERROR(verdict.status);
  RETURN_IF_ERROR(AdoptProvisional(verdict, present));
  RETURN_IF_ERROR(ForgetOthers(verdict));
  installer_.ForgetUnmet();

  // All images first, so that components that belong together change together.
  absl::Status result;
  bool downloaded = false;
  for (const auto& unit : Units(verdict.updates)) {
    result.Update(Prepare(unit, verdict.director_version, present, downloaded));
  }
  // A download takes its time: what is installed is what the Director says now.
  if (downloaded) {
    verdict = Verify(present);
    if (IsRefusal(verdict.status)) return NoteRefused(verdict, present);
    RETURN_IF_ERROR(verdict.status);
  }
  for (const trust::VerifiedUpdate& update : verdict.updates) {
    const auto component = present.find(update.ecu_serial);
    if (component == present.end() || component->second.sha256 != update.sha256) ++pending_updates_;
  }
  for (const auto& unit : Units(verdict.updates)) {
    result.Update(InstallUnit(unit, verdict.director_version, present));
    Changed();
  }
  for (const trust::VerifiedUpdate& update : verdict.prefetch) {
    const auto component = present.find(update.ecu_serial);
    if (component == present.end() || component->second.sha256 == update.sha256 ||
        CheckImage(state_.image_folder(), update.sha256, update.length).ok()) {
      continue;
    }
    // It can be had later as well, and what is wrong with it shows when it is ordered.
    if (Vouch(update).ok()) Fetch(update, component->second.sha256, /*ahead=*/true).IgnoreError();
  }
  result.Update(installer_.TellEnds());
  Changed();
  return result;
}

absl::Status Updater::Settle(const Present& present) {
  installer_.Seen(present);
  const absl::Status status = installer_.Settle();
  Changed();
  return status;
}

absl::Status Updater::Answer(const ConfirmationAnswer& answer) {
  const absl::Status status = installer_.Answer(answer);
  Changed();
  return status;
}

std::vector<std::vector<trust::VerifiedUpdate>> Updater::Units(
    const std::vector<trust::VerifiedUpdate>& updates) {
  std::vector<std::vector<trust::VerifiedUpdate>> units;
  std::map<std::string, size_t> bundles;
  for (const trust::VerifiedUpdate& update : updates) {
    if (!update.bundle.empty()) {
      const auto [bundle, added] = bundles.try_emplace(update.bundle, units.size());
      if (!added) {
        units[bundle->second].push_back(update);
        continue;
      }
    }
    units.push_back({update});
  }
  return units;
}

absl::Status Updater::Prepare(const std::vector<trust::VerifiedUpdate>& unit, int64_t director_version,
                              const Present& present, bool& downloaded) {
  absl::Status result;
  for (const trust::VerifiedUpdate& update : unit) {
    ASSIGN_OR_RETURN(const bool due, IsDue(update, director_version, present));
    if (!due) continue;
    absl::Status status = Vouch(update);
    if (status.ok() && !CheckImage(state_.image_folder(), update.sha256, update.length).ok()) {
      status = Fetch(update, present.at(update.ecu_serial).sha256, /*ahead=*/false);
      downloaded = true;
    }
    if (status.ok()) continue;
    if (IsTransient(status)) {
      result.Update(status);
      continue;
    }
    const FailureReason reason =
        ReasonOf(status) == kNotInLog ? FAILURE_REASON_NOT_APPROVED : device::FailureReasonOf(status);
    RETURN_IF_ERROR(installer_.End(update.ecu_serial,
                                   {.sha256 = update.sha256,
                                    .director_version = director_version,
                                    .bundle = update.bundle,
                                    .target_path = update.path,
                                    .version = update.version},
                                   UPDATE_PHASE_FAILED, reason, status.message()));
  }
  return result;
}

absl::Status Updater::InstallUnit(const std::vector<trust::VerifiedUpdate>& unit, int64_t director_version,
                                  const Present& present) {
  Order order{.director_version = director_version};
  std::string failed;
  std::vector<const trust::VerifiedUpdate*> untouched;
  for (const trust::VerifiedUpdate& update : unit) {
    const Attempt* attempt = state_.FindAttempt(update.ecu_serial);
    if (HasFailed(attempt)) failed = update.ecu_serial;
    if (attempt == nullptr) untouched.push_back(&update);
    // What is under way goes on by itself, and the others of its bundle with it.
    if (attempt != nullptr && IsUnderWay(*attempt)) return absl::OkStatus();
  }
  if (!failed.empty()) {
    for (const trust::VerifiedUpdate* update : untouched) {
      const auto component = present.find(update->ecu_serial);
      if (component != present.end() && component->second.sha256 == update->sha256) continue;
      RETURN_IF_ERROR(installer_.End(
          update->ecu_serial,
          {.sha256 = update->sha256,
           .director_version = director_version,
           .target_path = update->path,
           .version = update->version},
          UPDATE_PHASE_FAILED, FAILURE_REASON_DEPENDENCY,
          absl::StrCat("component ", failed, " of the bundle failed before anything was installed")));
    }
    return absl::OkStatus();
  }
  for (const trust::VerifiedUpdate& update : unit) {
    const auto component = present.find(update.ecu_serial);
    // One that is away keeps its bundle waiting.
    if (component == present.end()) return absl::OkStatus();
    if (component->second.sha256 == update.sha256) continue;
    ASSIGN_OR_RETURN(const bool due, IsDue(update, director_version, present));
    const Attempt* attempt = state_.FindAttempt(update.ecu_serial);
    const bool confirming = attempt != nullptr && attempt->stage == Stage::kConfirming;
    if (!due && !confirming) return absl::OkStatus();
    if (!vouchers_.contains({update.path, update.sha256}) ||
        !CheckImage(state_.image_folder(), update.sha256, update.length).ok()) {
      return absl::OkStatus();
    }
    order.updates.push_back(update);
  }
  if (order.updates.empty()) return absl::OkStatus();
  for (const trust::VerifiedUpdate& update : order.updates) fetching_.erase(update.ecu_serial);
  return installer_.Install(
      order, [this](const trust::VerifiedUpdate& update) -> absl::StatusOr<device::v1::InstallHeader> {
        ASSIGN_OR_RETURN(device::v1::InstallHeader header, verification_.HeaderFor(update));
        const Vouchers& vouchers = vouchers_.at({update.path, update.sha256});
        header.set_approval_statement(vouchers.approval_statement);
        header.set_log_proof(vouchers.log_proof);
        return header;
      });
}

absl::Status Updater::Vouch(const trust::VerifiedUpdate& update) {
  const std::pair key(update.path, update.sha256);
  if (vouchers_.contains(key)) return absl::OkStatus();
  absl::StatusOr<Vouchers> vouchers = FetchVouchers(package_store_, update.path);
  // A store that knows nothing of it proves nothing.
  if (absl::IsNotFound(vouchers.status())) vouchers = Vouchers();
  RETURN_IF_ERROR(vouchers.status());
  RETURN_IF_ERROR(CheckInLog(verification_.log_key(), vouchers->log_proof, update.path, update.sha256));
  vouchers_[key] = *std::move(vouchers);
  return absl::OkStatus();
}

absl::Status Updater::ForgetOthers(const Verdict& verdict) {
  std::set<std::string> images;
  std::set<std::pair<std::string, std::string>> named;
  for (const trust::VerifiedUpdate& update : verdict.updates) {
    images.insert(update.sha256);
    named.insert({update.ecu_serial, update.sha256});
  }
  for (const trust::VerifiedUpdate& update : verdict.prefetch) images.insert(update.sha256);
  std::erase_if(vouchers_, [&](const auto& entry) { return !images.contains(entry.first.second); });
  std::erase_if(fetching_, [&](const auto& entry) {
    return !named.contains({entry.first, entry.second.sha256});
  });
  std::set<std::string> unfinished;  // bundles
  for (const auto& [serial, attempt] : state_.attempts()) {
    if (IsUnderWay(attempt)) unfinished.insert(attempt.bundle);
    // What was brought in a package is nothing that the Director need name.
    if (attempt.offline && attempt.stage != Stage::kEnded) images.insert(attempt.sha256);
  }
  unfinished.erase("");
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
    // What the device has been told to boot comes to its own end, and its bundle with it.
    const bool over = !IsUnderWay(attempt) && !unfinished.contains(attempt.bundle) &&
                      (attempt.stage == Stage::kEnded ? attempt.reported : !attempt.offline);
    if (over && !named.contains({serial, attempt.sha256})) RETURN_IF_ERROR(state_.RemoveAttempt(serial));
  }
  return absl::OkStatus();
}

absl::Status Updater::AdoptProvisional(const Verdict& verdict, const Present& present) {
  for (const auto& [serial, component] : present) {
    if (!component.provisional || state_.FindAttempt(serial) != nullptr) continue;
    const auto update = std::find_if(
        verdict.updates.begin(), verdict.updates.end(),
        [&serial = serial](const trust::VerifiedUpdate& one) { return one.ecu_serial == serial; });
    RETURN_IF_ERROR(installer_.Adopt(serial, component, update == verdict.updates.end() ? nullptr : &*update,
                                     verdict.director_version));
  }
  return absl::OkStatus();
}

absl::Status Updater::NoteRefused(const Verdict& verdict, const Present& present) {
  for (const RefusedEntry& entry : verdict.refused) {
    const auto component = present.find(entry.ecu_serial);
    if (component != present.end() && component->second.sha256 == entry.sha256) continue;
    const Attempt* attempt = state_.FindAttempt(entry.ecu_serial);
    // What the device has been told to boot comes to its own end.
    if (attempt != nullptr &&
        (IsUnderWay(*attempt) || (attempt->stage == Stage::kEnded && attempt->sha256 == entry.sha256 &&
                                  attempt->director_version == verdict.director_version))) {
      continue;
    }
    log::Warn("update refused", {{"ecu_serial", entry.ecu_serial},
                                 {"sha256", entry.sha256},
                                 {"reason", ReasonOf(entry.status)},
                                 {"error", entry.status}});
    incidents_.Note(ReasonOf(entry.status), "", entry.ecu_serial, entry.status.message());
    RETURN_IF_ERROR(installer_.End(
        entry.ecu_serial, {.sha256 = entry.sha256, .director_version = verdict.director_version},
        UPDATE_PHASE_FAILED, device::FailureReasonOf(entry.status), entry.status.message()));
  }
  return installer_.TellEnds();
}

absl::StatusOr<bool> Updater::IsDue(const trust::VerifiedUpdate& update, int64_t director_version,
                                    const Present& present) {
  const auto component = present.find(update.ecu_serial);
  if (component == present.end()) return false;
  const Attempt* attempt = state_.FindAttempt(update.ecu_serial);
  if (attempt != nullptr && IsUnderWay(*attempt)) return false;
  if (component->second.sha256 == update.sha256) {
    RETURN_IF_ERROR(state_.RemoveAttempt(update.ecu_serial));
    return false;
  }
  if (attempt == nullptr) return true;
  const bool superseded = attempt->sha256 != update.sha256 ||
                          (attempt->stage == Stage::kEnded && attempt->director_version != director_version);
  if (superseded) {
    RETURN_IF_ERROR(state_.RemoveAttempt(update.ecu_serial));
    return true;
  }
  return attempt->stage == Stage::kTransferring || attempt->stage == Stage::kTransferred;
}

absl::Status Updater::Fetch(const trust::VerifiedUpdate& update, const std::string& base_sha256, bool ahead) {
  const auto tell = [&](UpdatePhase phase, FailureReason reason = FAILURE_REASON_UNSPECIFIED,
                        absl::string_view detail = "") {
    if (ahead) return;
    fetching_[update.ecu_serial] = {.ecu_serial = update.ecu_serial,
                                    .sha256 = update.sha256,
                                    .version = update.version,
                                    .phase = phase,
                                    .reason = reason,
                                    .detail = std::string(detail)};
    Changed();
    // Only news: the server does without, or says at UPDATING that it is called off.
    progress_.TellNews({.ecu_serial = update.ecu_serial,
                        .sha256 = update.sha256,
                        .phase = phase,
                        .reason = reason,
                        .detail = std::string(detail)});
  };
  log::Info("downloading", {{"ecu_serial", update.ecu_serial},
                            {"path", update.path},
                            {"sha256", update.sha256},
                            {"bytes", update.length},
                            {"ahead", ahead}});
  tell(UPDATE_PHASE_DOWNLOADING);
  const absl::Status status = downloader_.Download(update, base_sha256, [&](const absl::Status& bad) {
    log::Warn("bad delta", {{"sha256", update.sha256}, {"base_sha256", base_sha256}, {"error", bad}});
    incidents_.Note(bad, "DELTA_INVALID");
    tell(UPDATE_PHASE_DOWNLOADING, FAILURE_REASON_INTEGRITY, bad.message());
  });
  if (!status.ok()) {
    log::Warn("download broken off",
              {{"sha256", update.sha256}, {"reason", ReasonOf(status)}, {"error", status}});
    if (!ReasonOf(status).empty()) {
      incidents_.Note(ReasonOf(status), "", update.ecu_serial, status.message());
    }
    if (IsTransient(status)) tell(UPDATE_PHASE_DOWNLOADING, FAILURE_REASON_CONNECTION_LOST, status.message());
    return status;
  }
  log::Info("downloaded", {{"ecu_serial", update.ecu_serial}, {"sha256", update.sha256}, {"ahead", ahead}});
  tell(UPDATE_PHASE_DOWNLOADED);
  return absl::OkStatus();
}

std::vector<ComponentProgress> Updater::progress() const {
  std::vector<ComponentProgress> all = installer_.progress();
  for (const auto& [serial, fetching] : fetching_) {
    const bool further =
        std::any_of(all.begin(), all.end(),
                    [&serial = serial](const ComponentProgress& one) { return one.ecu_serial == serial; });
    if (!further) all.push_back(fetching);
  }
  return all;
}

}  // namespace countersign::gateway
