// tuf_client: the client that gateways and devices use, over HTTP on a repository of plain files. Speaks the
// command line that TUF's conformance suite drives, and is of use to whoever mirrors a repository or asks why
// a client refuses it.
#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/clock/clock.h"
#include "common/crypto/digest.h"
#include "common/file/file.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/trust/client.h"
#include "common/trust/metadata.h"
#include "common/trust/reasons.h"
#include "common/trust/verify.h"
#include "tools/tuf_client/http_fetcher.h"

namespace countersign::tuf_client {
namespace {

struct Flags {
  std::string metadata_dir, metadata_url, trusted_root, target_url, target_dir;
  std::vector<std::string> targets;
};

absl::Status Init(const Flags& flags) {
  ASSIGN_OR_RETURN(const std::string root, ReadFile(flags.trusted_root));
  RETURN_IF_ERROR(Annotate(trust::VerifyFirstRoot(root).status(), flags.trusted_root));
  ASSIGN_OR_RETURN(trust::DirectoryStore store, trust::DirectoryStore::Open(flags.metadata_dir));
  ASSIGN_OR_RETURN(const std::optional<std::string> before, store.Load("root"));
  if (before.has_value() && *before != root) {
    return Error(absl::StatusCode::kAlreadyExists, "ROOT_EXISTS",
                 absl::StrCat(flags.metadata_dir, " trusts a root already; take another folder"));
  }
  return store.Save("root", root);
}

// Whether the file at `path` is the target already.
bool IsThere(const std::string& path, const trust::TargetFile& target) {
  const absl::StatusOr<std::string> bytes = ReadFile(path, target.length);
  return bytes.ok() && static_cast<int64_t>(bytes->size()) == target.length &&
         crypto::Sha256Hex(*bytes) == target.sha256;
}

absl::Status Download(const Flags& flags, const std::string& path, bool consistent,
                      const trust::TargetFile& target) {
  // A target path has no ".." and no empty segment, so that this stays below the folder.
  const std::string out = absl::StrCat(flags.target_dir, "/", path);
  if (IsThere(out, target)) return absl::OkStatus();
  RETURN_IF_ERROR(MakeDirectories(std::filesystem::path(out).parent_path()));
  const std::string partial = absl::StrCat(out, ".partial");
  std::FILE* const file = std::fopen(partial.c_str(), "wb");
  if (file == nullptr) return absl::FailedPreconditionError(absl::StrCat("cannot write ", partial));
  crypto::Sha256Stream digest;
  int64_t length = 0;
  HttpFetcher fetcher(flags.target_url);
  absl::Status status = fetcher.Stream(
      consistent ? trust::TargetFilename(path, target.sha256) : path, target.length,
      [&](absl::string_view bytes) -> absl::Status {
        digest.Update(bytes);
        length += static_cast<int64_t>(bytes.size());
        if (std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size()) return absl::OkStatus();
        return absl::ResourceExhaustedError(absl::StrCat("cannot write ", partial, ": is the disk full?"));
      });
  if (std::fflush(file) != 0 || ::fsync(::fileno(file)) != 0)
    status.Update(absl::ResourceExhaustedError(absl::StrCat("cannot write ", partial)));
  std::fclose(file);
  if (status.ok() && length != target.length) {
    status = trust::Refuse(trust::kLengthMismatch, absl::StrCat(path, " has ", length, " bytes, not the ",
                                                                target.length, " promised"));
  }
  if (status.ok() && digest.FinishHex() != target.sha256) {
    status = trust::Refuse(trust::kDigestMismatch,
                           absl::StrCat(path, " is not the file whose SHA-256 was promised"));
  }
  if (status.ok() && std::rename(partial.c_str(), out.c_str()) != 0)
    status = absl::FailedPreconditionError(absl::StrCat("cannot rename ", partial, " to ", out));
  if (!status.ok()) ::unlink(partial.c_str());
  return status;
}

absl::Status RefreshAndDownload(const Flags& flags) {
  const absl::Time now = SystemClock().Now();
  ASSIGN_OR_RETURN(trust::DirectoryStore store, trust::DirectoryStore::Open(flags.metadata_dir));
  HttpFetcher fetcher(flags.metadata_url);
  trust::RepositoryClient client(&fetcher, &store, "");
  RETURN_IF_ERROR(client.Refresh(now));
  for (const std::string& path : flags.targets) {
    ASSIGN_OR_RETURN(const trust::TargetFile target, client.FindTarget(path, now));
    RETURN_IF_ERROR(Download(flags, path, client.root().consistent_snapshot, target));
  }
  return absl::OkStatus();
}

absl::Status Run(const Flags& flags, const std::string& command) {
  if (flags.metadata_dir.empty()) return absl::InvalidArgumentError("--metadata-dir is required");
  if (command == "init") return Init(flags);
  if (flags.metadata_url.empty()) return absl::InvalidArgumentError("--metadata-url is required");
  if (command == "download" &&
      (flags.targets.empty() || flags.target_url.empty() || flags.target_dir.empty())) {
    return absl::InvalidArgumentError("--target-name, --target-base-url and --target-dir are required");
  }
  return RefreshAndDownload(flags);
}

}  // namespace
}  // namespace countersign::tuf_client

int main(int argc, char** argv) {
  using namespace countersign;
  tuf_client::Flags flags;
  CLI::App app("A client of a TUF repository: what it believes, it has verified.", "tuf_client");
  app.add_option("--metadata-dir", flags.metadata_dir, "what is trusted: a file for each role");
  app.add_option("--metadata-url", flags.metadata_url, "where the metadata is served");
  app.add_option("--target-name", flags.targets, "path of a target; may be repeated")->take_all();
  app.add_option("--target-base-url", flags.target_url, "where the targets are served");
  app.add_option("--target-dir", flags.target_dir, "where downloads go");
  CLI::App* const init = app.add_subcommand("init", "Trust a root that was brought by hand");
  init->add_option("trusted-root", flags.trusted_root, "the root metadata")->required();
  app.add_subcommand("refresh", "Update the metadata");
  app.add_subcommand("download", "Update the metadata and download targets");
  app.require_subcommand(1);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  const absl::Status status = tuf_client::Run(flags, app.get_subcommands().front()->get_name());
  if (status.ok()) return 0;
  std::cerr << "tuf_client: " << status.message() << " (" << absl::StatusCodeToString(status.code());
  if (const std::string reason = ReasonOf(status); !reason.empty()) std::cerr << ", " << reason;
  std::cerr << ")\n";
  return 1;
}
