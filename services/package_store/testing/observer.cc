#include "services/package_store/testing/observer.h"

#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/clock/clock.h"
#include "common/rpc/channel.h"
#include "common/status/macros.h"
#include "common/tlog/entry.h"
#include "common/tlog/tile_reader.h"
#include "common/trust/envelope.h"
#include "common/trust/metadata.h"
#include "grpcpp/grpcpp.h"
#include "services/package_store/testing/publisher.h"

namespace countersign::package_store::testing {

// Passes files on, and holds each against what came under that name before.
class Observer::Recorder : public trust::Fetcher {
 public:
  Recorder(v1::PackageStoreService::Stub* stub, std::map<std::string, std::string>& seen)
      : fetcher_(stub), seen_(seen) {}

  absl::StatusOr<std::string> Fetch(absl::string_view filename, int64_t max_length) override {
    ASSIGN_OR_RETURN(std::string content, fetcher_.Fetch(filename, max_length));
    std::string name(filename);
    if (name == "timestamp.json") {
      ASSIGN_OR_RETURN(const trust::Envelope envelope, trust::Envelope::Parse(content));
      ASSIGN_OR_RETURN(const trust::Timestamp timestamp, trust::Timestamp::Parse(envelope));
      absl::StrAppend(&name, " ", timestamp.version);
    }
    const auto [found, is_new] = seen_.try_emplace(name, content);
    if (!is_new && found->second != content) {
      return absl::DataLossError(absl::StrCat(name, " has come with two contents"));
    }
    return content;
  }

 private:
  StoreFetcher fetcher_;
  std::map<std::string, std::string>& seen_;
};

absl::StatusOr<Versions> Observer::Look(v1::PackageStoreService::Stub& stub) {
  Recorder recorder(&stub, seen_);
  trust::RepositoryClient client(&recorder, &trusted_, initial_root_);
  RETURN_IF_ERROR(client.Refresh(SystemClock().Now()));
  Versions versions = {{"root", client.root().version},
                       {"timestamp", client.timestamp().version},
                       {"snapshot", client.snapshot().version}};
  for (const auto& [role, meta] : client.snapshot().roles) versions[role] = meta.version;
  return versions;
}

absl::Status Observer::ComparePackages(v1::PackageStoreService::Stub& stub,
                                       const std::vector<std::string>& paths) {
  Recorder recorder(&stub, seen_);
  trust::RepositoryClient client(&recorder, &trusted_, initial_root_);
  const absl::Time now = SystemClock().Now();
  RETURN_IF_ERROR(client.Refresh(now));
  std::set<std::string> expected(paths.begin(), paths.end());
  v1::ListPackagesRequest request;
  request.set_parent("manufacturers/-");
  request.set_page_size(1000);
  v1::ListPackagesResponse response;
  rpc::CallContext context(absl::Seconds(30));
  RETURN_IF_ERROR(rpc::FromGrpc(stub.ListPackages(context.get(), request, &response)));
  for (const v1::Package& package : response.packages()) {
    if (expected.erase(package.target_path()) == 0) {
      return absl::DataLossError(absl::StrCat(package.target_path(), " is a package that nobody published"));
    }
    ASSIGN_OR_RETURN(const trust::TargetFile target, client.FindTarget(package.target_path(), now));
    if (target.sha256 != package.sha256() || target.length != package.length_bytes()) {
      return absl::DataLossError(absl::StrCat("package and metadata disagree about ", package.target_path()));
    }
  }
  if (!expected.empty()) return absl::DataLossError(absl::StrCat(*expected.begin(), " is no package"));
  return absl::OkStatus();
}

absl::Status Observer::CompareLog(v1::PackageStoreService::Stub& stub, const Versions& in_force) {
  const auto fetch = [&stub](const std::string& path) -> absl::StatusOr<std::string> {
    v1::GetLogFileRequest request;
    request.set_path(path);
    v1::LogFile file;
    rpc::CallContext context(absl::Seconds(30));
    RETURN_IF_ERROR(rpc::FromGrpc(stub.GetLogFile(context.get(), request, &file)));
    return file.content();
  };
  ASSIGN_OR_RETURN(const tlog::VerifierKey key, tlog::VerifierKey::Parse(log_key_));
  ASSIGN_OR_RETURN(const std::string bytes, fetch("checkpoint"));
  ASSIGN_OR_RETURN(const tlog::Checkpoint head, tlog::OpenCheckpoint(bytes, key));
  ASSIGN_OR_RETURN(tlog::TileReader log, tlog::TileReader::Open(fetch, head));
  if (head_.has_value()) RETURN_IF_ERROR(log.CheckExtends(*head_));
  head_ = head;
  std::set<std::string> expected;
  for (const auto& [role, version] : in_force) {
    if (role == "snapshot" || role == "timestamp") continue;
    for (int64_t each = 1; each <= version; ++each) expected.insert(trust::MetadataFilename(role, each));
  }
  for (int64_t bundle = 0; bundle * tlog::kTileWidth < head.size; ++bundle) {
    ASSIGN_OR_RETURN(const std::vector<std::string> leaves, log.Entries(bundle));
    for (const std::string& leaf : leaves) {
      ASSIGN_OR_RETURN(const tlog::LogEntry entry, tlog::LogEntry::Parse(leaf));
      if (entry.kind != tlog::kRootPublished && entry.kind != tlog::kTargetsPublished &&
          entry.kind != tlog::kRolePublished) {
        continue;
      }
      if (expected.erase(trust::MetadataFilename(entry.role, entry.role_version)) == 0) {
        return absl::DataLossError(absl::StrCat("the log has role ", entry.role, " version ",
                                                entry.role_version, " twice, or before it is in force"));
      }
    }
  }
  if (!expected.empty()) return absl::DataLossError(absl::StrCat("the log lacks ", *expected.begin()));
  return absl::OkStatus();
}

}  // namespace countersign::package_store::testing
