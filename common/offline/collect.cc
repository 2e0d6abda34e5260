#include "common/offline/collect.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/tlog/entry.h"
#include "common/trust/reasons.h"
#include "common/trust/trusted_store.h"

namespace countersign::offline {
namespace {

// Keeps what was fetched through it.
class Recorder : public trust::Fetcher {
 public:
  Recorder(trust::Fetcher* source, std::map<std::string, std::string>* files)
      : source_(*source), files_(*files) {}

  absl::StatusOr<std::string> Fetch(absl::string_view filename, int64_t max_length) override {
    ASSIGN_OR_RETURN(std::string bytes, source_.Fetch(filename, max_length));
    files_[std::string(filename)] = bytes;
    return bytes;
  }

 private:
  trust::Fetcher& source_;
  std::map<std::string, std::string>& files_;
};

Target TargetOf(const std::string& path, const trust::TargetFile& file) {
  return {.path = path, .sha256 = file.sha256, .length = file.length};
}

absl::Status NothingOrdered(absl::string_view what) {
  return Error(absl::StatusCode::kFailedPrecondition, "NOTHING_ORDERED", what);
}

absl::Time FirstExpiry(const trust::RepositoryClient& client) {
  return std::min({client.root().expires, client.timestamp().expires, client.snapshot().expires,
                   client.targets().expires});
}

}  // namespace

absl::StatusOr<Contents> Collect(const CollectOptions& options, trust::Fetcher& director,
                                 trust::Fetcher& images, absl::Time now) {
  Contents contents;
  contents.gateway_id = options.gateway_id;
  Recorder director_files(&director, &contents.director);
  Recorder image_files(&images, &contents.images);
  trust::MemoryStore director_store, image_store;
  trust::RepositoryClient image_client(&image_files, &image_store, options.image_root);
  RETURN_IF_ERROR(Annotate(image_client.Refresh(now), "the image repository"));
  if (!options.pending.empty()) {
    for (const auto& [path, serials] : options.pending) {
      ASSIGN_OR_RETURN(const trust::TargetFile file, image_client.FindTarget(path, now));
      contents.targets.push_back(TargetOf(path, file));
      contents.targets.back().ecu_serials = serials;
    }
    return contents;
  }
  trust::RepositoryClient director_client(&director_files, &director_store, options.director_root);
  RETURN_IF_ERROR(Annotate(director_client.Refresh(now), "the Director's repository"));
  const std::map<std::string, trust::TargetFile>& ordered = director_client.targets().targets;
  for (const std::string& path : options.target_paths) {
    if (!ordered.contains(path)) {
      return NothingOrdered(absl::StrCat("the Director does not order ", path, " for gateway ",
                                         options.gateway_id, ": it has to be rolled out and consented to"));
    }
  }
  for (const auto& [path, file] : ordered) {
    // The gateway verifies all that is ordered, whatever of it is in the package.
    RETURN_IF_ERROR(image_client.FindTarget(path, now).status());
    const auto& wanted = options.target_paths;
    if (wanted.empty() || std::find(wanted.begin(), wanted.end(), path) != wanted.end()) {
      contents.targets.push_back(TargetOf(path, file));
    }
  }
  if (contents.targets.empty()) {
    return NothingOrdered(absl::StrCat("the Director orders nothing for gateway ", options.gateway_id));
  }
  return contents;
}

absl::StatusOr<PackageVerdict> VerifyPackage(const Package& package, const std::string& director_root,
                                             const std::string& image_root, absl::Time now) {
  const Contents& contents = package.contents();
  trust::MapFetcher director_files(&contents.director), image_files(&contents.images);
  trust::MemoryStore director_store, image_store;
  trust::RepositoryClient director(&director_files, &director_store, director_root);
  trust::RepositoryClient images(&image_files, &image_store, image_root);
  PackageVerdict verdict;
  verdict.pending = std::all_of(contents.targets.begin(), contents.targets.end(),
                                [](const Target& one) { return trust::IsPendingPath(one.path); });
  if (verdict.pending) {
    RETURN_IF_ERROR(Annotate(images.Refresh(now), "the image repository"));
    for (const Target& target : contents.targets) {
      ASSIGN_OR_RETURN(const trust::TargetFile file, images.FindTarget(target.path, now));
      for (const std::string& serial : target.ecu_serials) {
        const std::string hardware = file.custom.hardware_ids.empty() ? "" : file.custom.hardware_ids.front();
        ASSIGN_OR_RETURN(trust::VerifiedUpdate update,
                         trust::VerifyPendingFor(images, target.path, {serial, hardware, 0}, now));
        verdict.updates.push_back(std::move(update));
      }
    }
    verdict.valid_until = FirstExpiry(images);
  } else {
    RETURN_IF_ERROR(Annotate(director.Refresh(now), "the Director's repository"));
    std::vector<trust::InstalledComponent> named;
    for (const auto& [path, target] : director.targets().targets) {
      for (const auto& [serial, ecu] : target.custom.ecu_identifiers) {
        named.push_back({serial, ecu.hardware_id, 0});
      }
    }
    ASSIGN_OR_RETURN(verdict.updates, trust::VerifyUpdate(director, images, named, now));
    if (verdict.updates.empty()) return NothingOrdered("the Director's metadata in it order nothing");
    verdict.valid_until = std::min(FirstExpiry(director), FirstExpiry(images));
  }
  for (const Target& target : contents.targets) {
    const auto update =
        std::find_if(verdict.updates.begin(), verdict.updates.end(),
                     [&](const trust::VerifiedUpdate& one) { return one.path == target.path; });
    if (update == verdict.updates.end()) {
      return NothingOrdered(absl::StrCat("nothing orders ", target.path, ", which is in it"));
    }
    trust::ImageCheck check(update->length, update->sha256);
    RETURN_IF_ERROR(
        package.ReadImage(target.sha256, [&](absl::string_view piece) { return check.Update(piece); }));
    RETURN_IF_ERROR(Annotate(check.Finish(), target.path));
    if (verdict.pending) continue;
    const absl::Status logged =
        tlog::VerifyApprovalProof(target.log_proof, images.root().log_key, target.path, target.sha256)
            .status();
    if (!logged.ok()) {
      return Error(absl::StatusCode::kFailedPrecondition, "NOT_IN_LOG",
                   absl::StrCat(target.path, ": ", logged.message()));
    }
  }
  return verdict;
}

}  // namespace countersign::offline
