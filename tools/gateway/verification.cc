#include "tools/gateway/verification.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/trust/envelope.h"
#include "common/trust/metadata.h"
#include "common/trust/reasons.h"

namespace countersign::gateway {
namespace {

using Files = google::protobuf::RepeatedPtrField<device::v1::MetadataFile>;

void Add(std::string name, std::string content, Files& files) {
  device::v1::MetadataFile& file = *files.Add();
  file.set_file_name(std::move(name));
  file.set_content(std::move(content));
}

absl::StatusOr<std::string> LoadVerified(const MetadataStore& store, const std::string& role) {
  ASSIGN_OR_RETURN(std::optional<std::string> bytes, store.Load(role));
  if (bytes.has_value()) return *std::move(bytes);
  return absl::InternalError(absl::StrCat("the verified metadata of role ", role, " are gone from the disk"));
}

// `role` of the version that the snapshot names, and the roles that it delegates `path` to.
absl::Status AddTargets(const MetadataStore& store, const trust::Snapshot& snapshot, const std::string& role,
                        const std::string& path, std::set<std::string>& added, Files& files) {
  const auto meta = snapshot.roles.find(role);
  if (meta == snapshot.roles.end() || !added.insert(role).second) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::optional<std::string> bytes, store.Load(role));
  if (!bytes.has_value()) return absl::OkStatus();  // delegated, and the search ended before it came there
  ASSIGN_OR_RETURN(const trust::Envelope envelope, trust::Envelope::Parse(*bytes));
  ASSIGN_OR_RETURN(const trust::Targets targets, trust::Targets::Parse(envelope));
  if (targets.version != meta->second.version) return absl::OkStatus();
  Add(trust::MetadataFilename(role, targets.version), *bytes, files);
  if (!targets.delegations.has_value()) return absl::OkStatus();
  for (const trust::Delegation& delegation : targets.delegations->roles) {
    if (std::any_of(delegation.paths.begin(), delegation.paths.end(),
                    [&path](const std::string& pattern) { return trust::MatchesPath(pattern, path); })) {
      RETURN_IF_ERROR(AddTargets(store, snapshot, delegation.name, path, added, files));
    }
  }
  return absl::OkStatus();
}

// The files of a repository that lead to `path`.
absl::Status AddRepository(const MetadataStore& store, const std::string& first_root,
                           const trust::Snapshot& snapshot, const std::string& path, Files& files) {
  ASSIGN_OR_RETURN(const auto roots, store.Roots());
  for (const auto& [name, bytes] : roots) {
    if (bytes != first_root) Add(name, bytes, files);
  }
  ASSIGN_OR_RETURN(std::string timestamp, LoadVerified(store, trust::Timestamp::kType));
  Add("timestamp.json", std::move(timestamp), files);
  ASSIGN_OR_RETURN(std::string bytes, LoadVerified(store, trust::Snapshot::kType));
  Add(trust::MetadataFilename(trust::Snapshot::kType, snapshot.version), std::move(bytes), files);
  std::set<std::string> added;
  return AddTargets(store, snapshot, trust::Targets::kType, path, added, files);
}

}  // namespace

bool IsRefusal(const absl::Status& status) {
  return !status.ok() && !ReasonOf(status).empty() && !absl::IsUnavailable(status) &&
         !absl::IsInternal(status);
}

Verification::Verification(trust::Fetcher* director, std::string director_root, trust::Fetcher* images,
                           std::string image_root, State* state)
    : director_root_(std::move(director_root)),
      image_root_(std::move(image_root)),
      state_(*state),
      director_(director, &state_.director(), director_root_),
      images_(images, &state_.images(), image_root_) {}

Verdict Verification::Verify(const std::vector<trust::InstalledComponent>& components, absl::Time now) {
  Verdict verdict;
  absl::StatusOr<std::vector<trust::VerifiedUpdate>> updates =
      trust::VerifyUpdate(director_, images_, components, now);
  verdict.status = updates.status();
  if (updates.ok()) {
    verdict.director_version = director_.targets().version;
    verdict.updates = *std::move(updates);
    verdict.quarantine = director_.targets().quarantine;
    absl::StatusOr<std::vector<trust::VerifiedUpdate>> prefetch =
        trust::VerifyPrefetch(director_, images_, components, now);
    // It can wait, and must not keep what is ordered.
    if (prefetch.ok()) verdict.prefetch = *std::move(prefetch);
    return verdict;
  }
  // Who is to blame? Only a Director that is verified can say what it wanted.
  if (!IsRefusal(verdict.status) || !director_.Refresh(now).ok()) return verdict;
  verdict.director_version = director_.targets().version;
  verdict.quarantine = director_.targets().quarantine;
  const std::map<std::string, trust::TargetFile> targets = director_.targets().targets;
  for (const auto& [path, target] : targets) {
    for (const auto& [serial, ecu] : target.custom.ecu_identifiers) {
      const auto component = std::find_if(
          components.begin(), components.end(),
          [&serial = serial](const trust::InstalledComponent& here) { return here.ecu_serial == serial; });
      const absl::Status status =
          component == components.end()
              ? trust::Refuse(trust::kUnknownEcu,
                              absl::StrCat(path, " is for component ", serial, ", which is not here"))
              : trust::VerifyUpdateFor(director_, images_, *component, now).status();
      if (IsRefusal(status)) verdict.refused.push_back({serial, target.sha256, status});
    }
  }
  return verdict;
}

absl::StatusOr<device::v1::InstallHeader> Verification::HeaderFor(const trust::VerifiedUpdate& update) const {
  device::v1::InstallHeader header;
  header.set_ecu_serial(update.ecu_serial);
  header.mutable_image()->set_target_path(update.path);
  header.mutable_image()->set_length_bytes(update.length);
  header.mutable_image()->set_sha256(update.sha256);
  RETURN_IF_ERROR(AddRepository(state_.director(), director_root_, director_.snapshot(), update.path,
                                *header.mutable_director_metadata()));
  RETURN_IF_ERROR(AddRepository(state_.images(), image_root_, images_.snapshot(), update.path,
                                *header.mutable_image_metadata()));
  return header;
}

absl::StatusOr<device::v1::ApplyOrdersRequest> Verification::Orders() const {
  device::v1::ApplyOrdersRequest orders;
  RETURN_IF_ERROR(AddRepository(state_.director(), director_root_, director_.snapshot(), "",
                                *orders.mutable_director_metadata()));
  return orders;
}

}  // namespace countersign::gateway
