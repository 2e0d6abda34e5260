#include "common/trust/update.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/trust/reasons.h"

namespace countersign::trust {
namespace {

absl::Status Mismatch(absl::string_view path, absl::string_view what) {
  return Refuse(kTargetMismatch,
                absl::StrCat("Director and image repository differ in the ", what, " of ", path));
}

// What both repositories say about each path that the Director names.
struct Entry {
  const TargetFile* director;
  TargetFile image;
};

absl::Status RefreshDirector(RepositoryClient& director, absl::Time now) {
  RETURN_IF_ERROR(director.Refresh(now));
  if (const auto& delegations = director.targets().delegations;
      delegations.has_value() && !delegations->roles.empty()) {
    return Refuse(kDirectorDelegates, "the Director delegates, which only the image repository may");
  }
  std::set<std::string> serials;
  for (const auto& [path, target] : director.targets().targets) {
    if (IsPendingPath(path)) {
      return Refuse(kNotApproved,
                    absl::StrCat(path, " has no approval: a Director may not have it installed"));
    }
    for (const auto& [serial, ecu] : target.custom.ecu_identifiers) {
      if (!serials.insert(serial).second) {
        return Refuse(kDuplicateEcu, absl::StrCat("component ", serial, " is to get two images at once"));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckAgreement(absl::string_view path, const TargetFile& director, const TargetFile& image) {
  if (director.length != image.length) return Mismatch(path, "length");
  if (director.sha256 != image.sha256) return Mismatch(path, "SHA-256");
  if (!director.custom.release_counter.has_value() || !image.custom.release_counter.has_value()) {
    return Refuse(kReleaseCounterMissing, absl::StrCat(path, " lacks a releaseCounter"));
  }
  if (*director.custom.release_counter != *image.custom.release_counter)
    return Mismatch(path, "releaseCounter");
  if (!director.custom.hardware_ids.empty() && director.custom.hardware_ids != image.custom.hardware_ids) {
    return Mismatch(path, "hardwareIds");
  }
  if (!director.custom.version.empty() && director.custom.version != image.custom.version) {
    return Mismatch(path, "version");
  }
  return absl::OkStatus();
}

absl::StatusOr<VerifiedUpdate> CheckComponent(absl::string_view path, const TargetFile& director,
                                              const TargetFile& image, const InstalledComponent& component) {
  const auto ecu = director.custom.ecu_identifiers.find(component.ecu_serial);
  if (ecu == director.custom.ecu_identifiers.end()) {
    return Refuse(kUnknownEcu, absl::StrCat(path, " is not for component ", component.ecu_serial));
  }
  const std::vector<std::string>& fits = image.custom.hardware_ids;
  if (ecu->second.hardware_id != component.hardware_id ||
      std::find(fits.begin(), fits.end(), component.hardware_id) == fits.end()) {
    return Refuse(kHardwareMismatch, absl::StrCat(path, " is not for the hardware ", component.hardware_id,
                                                  " of component ", component.ecu_serial));
  }
  RETURN_IF_ERROR(CheckAgreement(path, director, image));
  if (*image.custom.release_counter < component.release_counter) {
    return Refuse(kRollbackAttempt, absl::StrCat(path, " has releaseCounter ", *image.custom.release_counter,
                                                 "; component ", component.ecu_serial, " runs ",
                                                 component.release_counter, ": a way back is a new release"));
  }
  return VerifiedUpdate{.ecu_serial = component.ecu_serial,
                        .hardware_id = component.hardware_id,
                        .path = std::string(path),
                        .length = image.length,
                        .sha256 = image.sha256,
                        .version = image.custom.version,
                        .release_counter = *image.custom.release_counter,
                        .consent_record_id = ecu->second.consent_record_id,
                        .bundle = ecu->second.bundle,
                        .preconditions = ReadPreconditions(image.custom.extra)};
}

absl::StatusOr<std::vector<VerifiedUpdate>> VerifyUpdate(RepositoryClient& director, RepositoryClient& images,
                                                         const std::vector<InstalledComponent>& components,
                                                         absl::Time now) {
  RETURN_IF_ERROR(RefreshDirector(director, now));
  std::vector<VerifiedUpdate> updates;
  if (director.targets().targets.empty()) return updates;
  std::map<std::string, const InstalledComponent*> by_serial;
  for (const InstalledComponent& component : components) by_serial[component.ecu_serial] = &component;
  RETURN_IF_ERROR(images.Refresh(now));
  for (const auto& [path, target] : director.targets().targets) {
    ASSIGN_OR_RETURN(const TargetFile image, images.FindTarget(path, now));
    RETURN_IF_ERROR(CheckAgreement(path, target, image));
    if (target.custom.ecu_identifiers.empty()) {
      return Refuse(kUnknownEcu, absl::StrCat(path, " names no component that is to get it"));
    }
    for (const auto& [serial, ecu] : target.custom.ecu_identifiers) {
      const auto component = by_serial.find(serial);
      if (component == by_serial.end()) {
        return Refuse(kUnknownEcu, absl::StrCat(path, " is for component ", serial, ", which is not here"));
      }
      ASSIGN_OR_RETURN(VerifiedUpdate update, CheckComponent(path, target, image, *component->second));
      updates.push_back(std::move(update));
    }
  }
  return updates;
}

absl::StatusOr<std::vector<VerifiedUpdate>> VerifyPrefetch(const RepositoryClient& director,
                                                           RepositoryClient& images,
                                                           const std::vector<InstalledComponent>& components,
                                                           absl::Time now) {
  std::vector<VerifiedUpdate> ahead;
  if (director.targets().prefetch.empty()) return ahead;
  RETURN_IF_ERROR(images.Refresh(now));
  for (const auto& [path, target] : director.targets().prefetch) {
    if (IsPendingPath(path)) continue;
    const absl::StatusOr<TargetFile> image = images.FindTarget(path, now);
    if (!image.ok()) {
      // Without a reason it did not come, rather than came wrong.
      if (ReasonOf(image.status()).empty()) return image.status();
      continue;
    }
    for (const InstalledComponent& component : components) {
      absl::StatusOr<VerifiedUpdate> update = CheckComponent(path, target, *image, component);
      if (update.ok()) ahead.push_back(*std::move(update));
    }
  }
  return ahead;
}

absl::StatusOr<std::optional<VerifiedUpdate>> VerifyUpdateFor(RepositoryClient& director,
                                                              RepositoryClient& images,
                                                              const InstalledComponent& component,
                                                              absl::Time now) {
  RETURN_IF_ERROR(RefreshDirector(director, now));
  for (const auto& [path, target] : director.targets().targets) {
    if (!target.custom.ecu_identifiers.contains(component.ecu_serial)) continue;
    RETURN_IF_ERROR(images.Refresh(now));
    ASSIGN_OR_RETURN(const TargetFile image, images.FindTarget(path, now));
    ASSIGN_OR_RETURN(VerifiedUpdate update, CheckComponent(path, target, image, component));
    return update;
  }
  return std::nullopt;
}

absl::StatusOr<VerifiedUpdate> VerifyPendingFor(RepositoryClient& images, absl::string_view path,
                                                const InstalledComponent& component, absl::Time now) {
  if (!IsPendingPath(path)) {
    return Refuse(kMalformed, absl::StrCat(path, " does not lie below ", kPendingFolder));
  }
  ASSIGN_OR_RETURN(const TargetFile image, images.FindTarget(path, now));
  TargetFile ordered = image;
  ordered.custom.ecu_identifiers = {{component.ecu_serial, {component.hardware_id}}};
  return CheckComponent(path, ordered, image, component);
}

absl::Status ImageCheck::Update(absl::string_view chunk) {
  received_ += static_cast<int64_t>(chunk.size());
  if (received_ > length_) {
    return Refuse(kLengthExceeded, absl::StrCat("the image goes on after its ", length_, " bytes"));
  }
  digest_.Update(chunk);
  return absl::OkStatus();
}

absl::Status ImageCheck::Finish() {
  if (received_ != length_) {
    return Refuse(received_ < length_ ? kLengthMismatch : kLengthExceeded,
                  absl::StrCat("the image has ", received_, " of ", length_, " bytes"));
  }
  if (digest_.FinishHex() != sha256_) {
    return Refuse(kDigestMismatch, "the image's bytes are not the ones that were vouched for");
  }
  return absl::OkStatus();
}

}  // namespace countersign::trust
