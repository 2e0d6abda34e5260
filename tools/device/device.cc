#include "tools/device/device.h"

#include "absl/strings/str_cat.h"
#include "common/file/file.h"
#include "common/log/log.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/trust/client.h"
#include "common/trust/dsse.h"
#include "common/trust/metadata.h"
#include "common/trust/reasons.h"
#include "common/trust/trusted_store.h"
#include "common/trust/update.h"
#include "google/protobuf/util/json_util.h"
#include "tools/device/provision.h"

namespace countersign::device {
namespace {

// There while a component is stopped: for whoever makes the component work, beside `operate`.
std::string StoppedMarker(const std::string& folder, const Component& component) {
  return absl::StrCat(ComponentFolder(folder, component.ecu_serial()), "/stopped");
}

struct UnverifiedTargets {
  trust::Targets targets;
  std::string bytes;
};

// The newest targets among `files` that name `path` (any, without one), unverified: for a component that
// cannot verify.
std::optional<UnverifiedTargets> NewestTargets(const MetadataFiles& files,
                                               const std::optional<std::string>& path = std::nullopt) {
  std::optional<UnverifiedTargets> newest;
  for (const auto& [name, content] : files) {
    const absl::StatusOr<trust::Envelope> envelope = trust::Envelope::Parse(content);
    if (!envelope.ok()) continue;
    absl::StatusOr<trust::Targets> targets = trust::Targets::Parse(*envelope);
    if (!targets.ok() || (path.has_value() && !targets->targets.contains(*path))) continue;
    if (newest.has_value() && newest->targets.version > targets->version) continue;
    newest = {*std::move(targets), content};
  }
  return newest;
}

absl::StatusOr<SlotContent> Unverified(const Component& component, const SlotContent& offered,
                                       const MetadataFiles& director, const MetadataFiles& images) {
  const std::optional<UnverifiedTargets> orders = NewestTargets(director, offered.target_path);
  if (!orders.has_value()) {
    return Error(absl::StatusCode::kInvalidArgument, trust::kTargetUnknown,
                 absl::StrCat("the Director's targets do not name ", offered.target_path));
  }
  const trust::TargetCustom& ordered = orders->targets.targets.at(offered.target_path).custom;
  SlotContent content = offered;
  content.version = ordered.version;
  content.release_counter = ordered.release_counter.value_or(0);
  if (const auto ecu = ordered.ecu_identifiers.find(component.ecu_serial());
      ecu != ordered.ecu_identifiers.end()) {
    content.bundle = ecu->second.bundle;
  }
  if (const auto role = NewestTargets(images, offered.target_path); role.has_value()) {
    content.preconditions =
        trust::ReadPreconditions(role->targets.targets.at(offered.target_path).custom.extra);
  }
  return content;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Device>> Device::Boot(Options options) {
  ASSIGN_OR_RETURN(trust::SecureTime time, trust::SecureTime::Open(TimeFile(options.folder), *options.clock));
  std::unique_ptr<Device> device(new Device(std::move(options), std::move(time)));
  if (device->time_.behind()) {
    log::Warn("the clock is wrong: it has been later already",
              {{"known", absl::FormatTime(device->time_.floor(), absl::UTCTimeZone())}});
  }
  const std::string& folder = device->options_.folder;
  ASSIGN_OR_RETURN(const std::string json, ReadFile(absl::StrCat(folder, "/device.json")));
  if (!google::protobuf::util::JsonStringToMessage(json, &device->description_).ok()) {
    return Error(absl::StatusCode::kDataLoss, "STATE_DAMAGED",
                 absl::StrCat(folder, "/device.json cannot be read"));
  }
  for (const inventory::v1::Component& component : device->description_.components()) {
    ASSIGN_OR_RETURN(std::unique_ptr<Component> booted,
                     Component::Boot(ComponentFolder(folder, component.ecu_serial()),
                                     device->options_.healthy, device->options_.readings));
    device->components_.push_back(std::move(booted));
  }
  RETURN_IF_ERROR(device->FollowOrders());
  return device;
}

std::string Device::id() const { return description_.name().substr(description_.name().rfind('/') + 1); }

absl::StatusOr<Component*> Device::Find(absl::string_view ecu_serial) {
  for (const std::unique_ptr<Component>& component : components_) {
    if (component->ecu_serial() == ecu_serial) return component.get();
  }
  return Error(absl::StatusCode::kNotFound, trust::kUnknownEcu,
               absl::StrCat("this device has no component ", ecu_serial));
}

std::string Device::DirectorFolder() const { return absl::StrCat(options_.folder, "/trusted/director"); }

absl::StatusOr<SlotContent> Device::Verify(const Component& component, const SlotContent& offered,
                                           const MetadataFiles& director, const MetadataFiles& images) {
  if (component.constrained()) return Unverified(component, offered, director, images);
  const absl::StatusOr<SlotContent> content = VerifyOffer(component, offered, director, images);
  // Whatever becomes of the offer: what of the Director's metadata was verified on the way counts.
  RETURN_IF_ERROR(FollowOrders());
  if (!content.ok()) return WithClock(content.status());
  return content;
}

absl::StatusOr<SlotContent> Device::VerifyOffer(const Component& component, const SlotContent& offered,
                                                const MetadataFiles& director, const MetadataFiles& images) {
  ASSIGN_OR_RETURN(trust::DirectoryStore director_store, trust::DirectoryStore::Open(DirectorFolder()));
  ASSIGN_OR_RETURN(trust::DirectoryStore image_store,
                   trust::DirectoryStore::Open(absl::StrCat(options_.folder, "/trusted/images")));
  trust::MapFetcher director_files(&director);
  trust::MapFetcher image_files(&images);
  trust::RepositoryClient director_client(&director_files, &director_store, options_.director_root);
  trust::RepositoryClient image_client(&image_files, &image_store, options_.image_root);
  const trust::InstalledComponent installed = {.ecu_serial = component.ecu_serial(),
                                               .hardware_id = component.hardware_id(),
                                               .release_counter = component.release_floor()};
  const absl::Time now = time_.Now();
  std::optional<trust::VerifiedUpdate> update;
  if (trust::IsPendingPath(offered.target_path)) {
    // Nobody orders what nobody approved. It is for the user to decide, of a device that asks (SC-USE-7).
    if (options_.card == nullptr || options_.approval_policy != ApprovalPolicy::kAskUser ||
        !director.empty()) {
      return Error(
          absl::StatusCode::kFailedPrecondition, trust::kNotApproved,
          absl::StrCat(offered.target_path, " is not approved, and the device does not ask its user"));
    }
    RETURN_IF_ERROR(image_client.Refresh(now));
    ASSIGN_OR_RETURN(update, trust::VerifyPendingFor(image_client, offered.target_path, installed, now));
  } else {
    ASSIGN_OR_RETURN(update, trust::VerifyUpdateFor(director_client, image_client, installed, now));
  }
  RETURN_IF_ERROR(time_.Raise(now));
  if (!update.has_value()) {
    return Error(absl::StatusCode::kFailedPrecondition, trust::kUnknownEcu,
                 absl::StrCat("the Director has nothing for ", component.ecu_serial()));
  }
  if (update->path != offered.target_path || update->length != offered.length ||
      update->sha256 != offered.sha256) {
    return Error(absl::StatusCode::kFailedPrecondition, trust::kTargetMismatch,
                 absl::StrCat("what is offered as ", offered.target_path,
                              " is not what the Director has for ", component.ecu_serial()));
  }
  return SlotContent{.target_path = update->path,
                     .length = update->length,
                     .sha256 = update->sha256,
                     .version = update->version,
                     .release_counter = update->release_counter,
                     .bundle = update->bundle,
                     .preconditions = update->preconditions};
}

absl::Status Device::WithClock(const absl::Status& status) const {
  if (status.ok() || !time_.behind()) return status;
  return Annotate(status, absl::StrCat("the clock is wrong, it has been ",
                                       absl::FormatTime(time_.floor(), absl::UTCTimeZone()), " already"));
}

absl::Status Device::CheckApproval(const Component& component, absl::string_view statement, absl::Time now,
                                   SlotContent& content) const {
  if (options_.card == nullptr) return absl::OkStatus();
  const trust::ApprovalResult result = trust::CheckApproval(statement, *options_.card,
                                                            {.sha256 = content.sha256,
                                                             .target_path = content.target_path,
                                                             .hardware_id = component.hardware_id(),
                                                             .release_counter = content.release_counter},
                                                            now);
  content.approval_result = std::string(trust::ApprovalResultName(result));
  if (result == trust::ApprovalResult::kApproved) return absl::OkStatus();
  if (options_.approval_policy == ApprovalPolicy::kAskUser && !trust::MustReject(result)) {
    content.awaits_confirmation = true;
    return absl::OkStatus();
  }
  return Error(
      absl::StatusCode::kFailedPrecondition, trust::kNotApproved,
      absl::StrCat("the check of the approval of ", content.target_path, " found ", content.approval_result));
}

absl::Status Device::ApplyOrders(const MetadataFiles& director) {
  ASSIGN_OR_RETURN(trust::DirectoryStore store, trust::DirectoryStore::Open(DirectorFolder()));
  if (description_.components_size() > 0 && description_.components(0).constrained()) {
    // It believes its gateway.
    const std::optional<UnverifiedTargets> newest = NewestTargets(director);
    if (!newest.has_value()) {
      return Error(absl::StatusCode::kInvalidArgument, trust::kMalformed,
                   "there are no targets among the files");
    }
    RETURN_IF_ERROR(store.Save(trust::Targets::kType, newest->bytes));
    return FollowOrders();
  }
  trust::MapFetcher files(&director);
  trust::RepositoryClient client(&files, &store, options_.director_root);
  const absl::Time now = time_.Now();
  const absl::Status status = client.Refresh(now);
  RETURN_IF_ERROR(FollowOrders());
  RETURN_IF_ERROR(WithClock(status));
  return time_.Raise(now);
}

absl::Status Device::FollowOrders() {
  ASSIGN_OR_RETURN(const trust::DirectoryStore store, trust::DirectoryStore::Open(DirectorFolder()));
  ASSIGN_OR_RETURN(const std::optional<std::string> bytes, store.Load(trust::Targets::kType));
  if (bytes.has_value()) {
    // Nothing gets there that was not verified, and older metadata is not believed: a quarantine ends by
    // newer.
    ASSIGN_OR_RETURN(const trust::Envelope envelope, trust::Envelope::Parse(*bytes));
    ASSIGN_OR_RETURN(const trust::Targets targets, trust::Targets::Parse(envelope));
    quarantine_ = targets.quarantine;
  }
  for (const std::unique_ptr<Component>& component : components_) {
    const bool operates = !quarantined(*component) && component->running_image().has_value();
    const auto [told, first] = operating_.try_emplace(component->ecu_serial(), !operates);
    if (told->second == operates) continue;
    const std::string marker = StoppedMarker(options_.folder, *component);
    if (operates) {
      RETURN_IF_ERROR(RemoveFile(marker));
    } else {
      RETURN_IF_ERROR(WriteFileAtomically(marker, quarantined(*component) ? "quarantined" : "no image"));
    }
    told->second = operates;
    options_.operate(*component, operates);
    if (!first || !operates) {
      log::Warn(operates ? "operates again" : "stopped",
                {{"ecu_serial", component->ecu_serial()},
                 {"cause", quarantined(*component) ? "quarantined by the Director" : ""}});
    }
  }
  return absl::OkStatus();
}

}  // namespace countersign::device
