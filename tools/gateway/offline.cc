// Offline packages at the gateway (SC-ALT): the package stands in the place of the services, and nothing else
// differs.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/log/log.h"
#include "common/offline/package.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/trust/reasons.h"
#include "tools/gateway/image_file.h"
#include "tools/gateway/updater.h"

namespace countersign::gateway {
namespace {

using namespace common::v1;
using Stage = Attempt::Stage;

// What was verified of a package, in front of what the gateway has verified before, until it is known to be
// meant for this gateway: the metadata of another one, which are as well signed and may be newer, must not
// become what this gateway's own are measured by.
class OverlayStore : public trust::TrustedStore {
 public:
  explicit OverlayStore(trust::TrustedStore* base) : base_(*base) {}

  absl::StatusOr<std::optional<std::string>> Load(absl::string_view role) const override {
    const auto found = changes_.find(std::string(role));
    return found == changes_.end() ? base_.Load(role) : found->second;
  }
  absl::Status Save(absl::string_view role, absl::string_view bytes) override {
    if (role == trust::Root::kType) roots_.emplace_back(bytes);
    changes_[std::string(role)] = std::string(bytes);
    return absl::OkStatus();
  }
  absl::Status Remove(absl::string_view role) override {
    changes_[std::string(role)] = std::nullopt;
    return absl::OkStatus();
  }

  absl::Status Commit() {
    // Every root in between is kept, for devices that were switched off longer.
    for (const std::string& root : roots_) RETURN_IF_ERROR(base_.Save(trust::Root::kType, root));
    for (const auto& [role, bytes] : changes_) {
      if (role == trust::Root::kType && bytes.has_value()) continue;
      RETURN_IF_ERROR(bytes.has_value() ? base_.Save(role, *bytes) : base_.Remove(role));
    }
    return absl::OkStatus();
  }

 private:
  trust::TrustedStore& base_;
  std::vector<std::string> roots_;
  std::map<std::string, std::optional<std::string>> changes_;
};

void AddFiles(const std::map<std::string, std::string>& files,
              google::protobuf::RepeatedPtrField<device::v1::MetadataFile>& to) {
  for (const auto& [name, content] : files) {
    device::v1::MetadataFile& file = *to.Add();
    file.set_file_name(name);
    file.set_content(content);
  }
}

std::string Outcome(const trust::VerifiedUpdate& update, const Attempt* attempt) {
  const std::string what = absl::StrCat(update.ecu_serial, " ", update.path, ": ");
  if (attempt == nullptr) return absl::StrCat(what, "not begun; try again when the device is there");
  switch (attempt->stage) {
    case Stage::kEnded:
      return attempt->phase == UPDATE_PHASE_VERIFYING
                 ? absl::StrCat(what, "installed")
                 : absl::StrCat(what, FailureReason_Name(attempt->reason), ": ", attempt->detail);
    case Stage::kConfirming:
      return absl::StrCat(what, "the device wants your confirmation (", attempt->approval_result,
                          "): see `confirmations`");
    case Stage::kTransferring:
    case Stage::kTransferred:
      return absl::StrCat(what, "brought to the device and not activated yet; try again");
    default:
      return absl::StrCat(what, "the device restarts into it");
  }
}

// Where a package is refused that is whole but not for here.
absl::Status NotForHere(absl::string_view what) {
  return Error(absl::StatusCode::kFailedPrecondition, "PACKAGE_NOT_FOR_HERE", what);
}

}  // namespace

absl::StatusOr<std::vector<std::string>> Updater::InstallPackage(const std::string& path,
                                                                 const Present& present) {
  ASSIGN_OR_RETURN(const offline::Package package, offline::Package::Open(path));
  const offline::Contents& contents = package.contents();
  if (contents.gateway_id != options_.gateway_id) {
    return NotForHere(
        absl::StrCat("the package is for gateway ", contents.gateway_id, " and not ", options_.gateway_id));
  }
  installer_.Seen(present);
  const absl::Time now = state_.time().Now();
  OverlayStore director_store(&state_.director());
  OverlayStore image_store(&state_.images());
  trust::MapFetcher director_files(&contents.director);
  trust::MapFetcher image_files(&contents.images);
  trust::RepositoryClient director(&director_files, &director_store, options_.director_root);
  trust::RepositoryClient images(&image_files, &image_store, options_.image_root);

  std::vector<trust::VerifiedUpdate> updates;
  const bool pending = std::all_of(contents.targets.begin(), contents.targets.end(),
                                   [](const offline::Target& one) { return trust::IsPendingPath(one.path); });
  if (pending) {
    // Nobody but its manufacturer vouches for it; the device asks its user, or refuses (SC-USE-7).
    RETURN_IF_ERROR(images.Refresh(now));
    const std::vector<trust::InstalledComponent> known = Known(present);
    for (const offline::Target& target : contents.targets) {
      if (target.ecu_serials.empty()) return NotForHere("the package says for no component what it is for");
      for (const std::string& serial : target.ecu_serials) {
        const auto component =
            std::find_if(known.begin(), known.end(),
                         [&](const trust::InstalledComponent& one) { return one.ecu_serial == serial; });
        if (component == known.end()) {
          return trust::Refuse(trust::kUnknownEcu, absl::StrCat(target.path, " is for component ", serial,
                                                                ", which is not here"));
        }
        ASSIGN_OR_RETURN(trust::VerifiedUpdate update,
                         trust::VerifyPendingFor(images, target.path, *component, now));
        updates.push_back(std::move(update));
      }
    }
  } else {
    ASSIGN_OR_RETURN(updates, trust::VerifyUpdate(director, images, Known(present), now));
  }
  std::map<std::string, const offline::Target*> targets;  // by digest
  for (const offline::Target& target : contents.targets) targets[target.sha256] = &target;
  std::erase_if(updates, [&](const trust::VerifiedUpdate& update) {
    // What the Director orders and the package does not have is no business of the package.
    return !targets.contains(update.sha256) && update.bundle.empty();
  });
  if (updates.empty()) return NotForHere("the package has nothing that is ordered for a component here");
  for (const trust::VerifiedUpdate& update : updates) {
    const auto target = targets.find(update.sha256);
    if (target == targets.end()) {
      return NotForHere(absl::StrCat("the package lacks the image of ", update.path,
                                     ", without which its bundle is not installed"));
    }
    if (!pending) {
      RETURN_IF_ERROR(
          CheckInLog(images.root().log_key, target->second->log_proof, update.path, update.sha256));
    }
    if (CheckImage(state_.image_folder(), update.sha256, update.length).ok()) continue;
    // Begun anew: whatever came from elsewhere is not this package's fault.
    RETURN_IF_ERROR(RemoveImageFile(state_.image_folder(), update.sha256));
    ASSIGN_OR_RETURN(const auto file, ImageFile::Open(state_.image_folder(), update.sha256, update.length));
    RETURN_IF_ERROR(
        package.ReadImage(update.sha256, [&](absl::string_view piece) { return file->Append(piece); }));
    RETURN_IF_ERROR(file->Finish());
  }
  // It is meant for here, and newer than what was here: from here on nothing older is believed.
  RETURN_IF_ERROR(state_.time().Raise(now));
  RETURN_IF_ERROR(image_store.Commit());
  if (!pending) RETURN_IF_ERROR(director_store.Commit());

  const HeaderFor header_for =
      [&](const trust::VerifiedUpdate& update) -> absl::StatusOr<device::v1::InstallHeader> {
    device::v1::InstallHeader header;
    header.set_ecu_serial(update.ecu_serial);
    header.mutable_image()->set_target_path(update.path);
    header.mutable_image()->set_length_bytes(update.length);
    header.mutable_image()->set_sha256(update.sha256);
    AddFiles(contents.director, *header.mutable_director_metadata());
    AddFiles(contents.images, *header.mutable_image_metadata());
    header.set_approval_statement(targets.at(update.sha256)->approval_statement);
    header.set_log_proof(targets.at(update.sha256)->log_proof);
    return header;
  };
  std::vector<std::string> lines;
  for (const auto& unit : Units(updates)) {
    Order order{.director_version = pending ? 0 : director.targets().version, .offline = true};
    bool complete = true;
    for (const trust::VerifiedUpdate& update : unit) {
      const auto component = present.find(update.ecu_serial);
      if (component == present.end()) {
        lines.push_back(absl::StrCat(update.ecu_serial, " ", update.path, ": its device is not there"));
        complete = false;
        continue;
      }
      if (component->second.sha256 == update.sha256) {
        lines.push_back(absl::StrCat(update.ecu_serial, " ", update.path, ": runs it already"));
        continue;
      }
      const Attempt* attempt = state_.FindAttempt(update.ecu_serial);
      if (attempt != nullptr && IsUnderWay(*attempt)) {
        lines.push_back(absl::StrCat(update.ecu_serial, ": another update is under way; try again"));
        complete = false;
        continue;
      }
      // Whoever brings it again tries again.
      if (attempt != nullptr && (attempt->stage == Stage::kEnded || attempt->sha256 != update.sha256)) {
        RETURN_IF_ERROR(state_.RemoveAttempt(update.ecu_serial));
      }
      order.updates.push_back(update);
    }
    if (!complete || order.updates.empty()) continue;
    const absl::Status status = installer_.Install(order, header_for);
    for (const trust::VerifiedUpdate& update : order.updates) {
      const Attempt* attempt = state_.FindAttempt(update.ecu_serial);
      lines.push_back(Outcome(update, attempt));
    }
    if (!status.ok()) lines.push_back(std::string(status.message()));
    Changed();
  }
  return lines;
}

}  // namespace countersign::gateway
