// repository export: the image repository as plain files.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "common/clock/clock.h"
#include "common/file/file.h"
#include "common/status/errors.h"
#include "common/trust/reasons.h"
#include "countersign/package_store/v1/package_store.grpc.pb.h"
#include "google/protobuf/struct.pb.h"
#include "tools/ctl/call.h"
#include "tools/ctl/commands.h"
#include "tools/ctl/export_repository.h"

namespace countersign::ctl {
namespace {

namespace v1 = countersign::package_store::v1;
using v1::PackageStoreService;
using Stub = PackageStoreService::Stub;

// An image that comes slower than this is given up; the next export goes on where it was.
constexpr int64_t kMinBytesPerSecond = 16 << 10;

class StoreSource : public RepositorySource {
 public:
  StoreSource(Session& session, Stub& stub) : session_(session), stub_(stub) {}

  absl::StatusOr<std::string> Fetch(absl::string_view filename, int64_t max_length) override {
    v1::GetMetadataRequest request;
    request.set_file_name(std::string(filename));
    ASSIGN_OR_RETURN(v1::MetadataFile file, Call(session_, stub_, &Stub::GetMetadata, request));
    if (static_cast<int64_t>(file.content().size()) > max_length) {
      return trust::Refuse(trust::kLengthExceeded,
                           absl::StrCat(filename, " has more than ", max_length, " bytes"));
    }
    return std::move(*file.mutable_content());
  }

  absl::Status Download(const std::string& sha256, int64_t offset, int64_t length,
                        const std::function<absl::Status(absl::string_view)>& sink) override {
    v1::DownloadImageRequest request;
    request.set_sha256(sha256);
    request.set_offset(offset);
    rpc::CallContext context(session_.timeout() + absl::Seconds((length - offset) / kMinBytesPerSecond));
    auto reader = stub_.DownloadImage(context.get(), request);
    v1::DownloadImageResponse response;
    while (reader->Read(&response)) {
      const absl::Status taken = sink(response.data());
      if (taken.ok()) continue;
      context.get()->TryCancel();
      reader->Finish();
      return taken;
    }
    return rpc::FromGrpc(reader->Finish());
  }

  absl::StatusOr<std::string> LogFile(const std::string& path) override {
    v1::GetLogFileRequest request;
    request.set_path(path);
    ASSIGN_OR_RETURN(v1::LogFile file, Call(session_, stub_, &Stub::GetLogFile, request));
    return std::move(*file.mutable_content());
  }

  absl::StatusOr<std::string> LogProof(const std::string& target_path) override {
    v1::GetPackageRequest request;
    request.set_target_path(target_path);
    ASSIGN_OR_RETURN(v1::Package package, Call(session_, stub_, &Stub::GetPackage, request));
    if (package.log_proof().empty()) {
      return absl::NotFoundError(absl::StrCat(target_path, " was approved before there was a log"));
    }
    return std::move(*package.mutable_log_proof());
  }

 private:
  Session& session_;
  Stub& stub_;
};

struct Flags {
  std::string out, root;
  bool prune = false;
  bool reread = false;
  int follow_seconds = 0;
};

google::protobuf::Struct ToStruct(const ExportReport& report) {
  google::protobuf::Struct message;
  auto& fields = *message.mutable_fields();
  fields["root_version"].set_number_value(static_cast<double>(report.root_version));
  fields["snapshot_version"].set_number_value(static_cast<double>(report.snapshot_version));
  fields["timestamp_version"].set_number_value(static_cast<double>(report.timestamp_version));
  fields["roles"].set_number_value(report.roles);
  fields["images"].set_number_value(report.images);
  fields["metadata_written"].set_number_value(report.metadata_written);
  fields["images_written"].set_number_value(report.images_written);
  fields["bytes_written"].set_number_value(static_cast<double>(report.bytes_written));
  fields["log_written"].set_number_value(report.log_written);
  fields["removed"].set_number_value(report.removed);
  auto& left_out = *fields["left_out"].mutable_list_value();
  for (const std::string& role : report.left_out) left_out.add_values()->set_string_value(role);
  return message;
}

absl::Status ExportOnce(Session& session, Stub& stub, const ExportOptions& options) {
  StoreSource source(session, stub);
  std::optional<Progress> progress;
  ExportOptions shown = options;
  shown.progress = [&progress](int64_t done, int64_t total) {
    if (!progress.has_value()) progress.emplace("images", total);
    progress->Show(done);
  };
  ASSIGN_OR_RETURN(const ExportReport report, ExportRepository(source, shown, SystemClock().Now()));
  progress.reset();
  for (const std::string& role : report.left_out) std::cerr << "countersign: left out: " << role << "\n";
  if (session.json()) {
    session.Print(ToStruct(report));
    return absl::OkStatus();
  }
  session.Say(absl::StrCat("Root ", report.root_version, ", snapshot ", report.snapshot_version,
                           ", timestamp ", report.timestamp_version, "; ", report.roles, " roles and ",
                           report.images, " images are in force. Wrote ", report.metadata_written,
                           " metadata files, ", report.log_written, " files of the log and ",
                           report.images_written, " images (", report.bytes_written, " bytes)",
                           options.prune ? absl::StrCat("; removed ", report.removed, " files.") : "."));
  return absl::OkStatus();
}

absl::Status Export(Session& session, const Flags& flags) {
  ExportOptions options{.folder = flags.out, .prune = flags.prune, .reread = flags.reread};
  if (!flags.root.empty()) {
    ASSIGN_OR_RETURN(options.root, ReadFile(flags.root));
  }
  ASSIGN_OR_RETURN(auto stub, MakeStub<PackageStoreService>(session, "package-store"));
  if (flags.follow_seconds == 0) return ExportOnce(session, *stub, options);
  // What fails now may go well the next time: the store restarts, the disk is given room. What is served
  // stays in force until its timestamp expires, which clients notice.
  for (;; absl::SleepFor(absl::Seconds(flags.follow_seconds))) {
    if (const absl::Status status = ExportOnce(session, *stub, options); !status.ok())
      Finish("countersign", status);
    std::cout.flush();
  }
}

}  // namespace

void AddExportCommand(CLI::App& app, Session& session) {
  auto flags = std::make_shared<Flags>();
  CLI::App* const verb = session.AddVerb(
      *app.get_subcommand("repository"), "export",
      "Verify the whole repository and write it as plain files, for a web server or a CDN: what is missing",
      [&session, flags] { return Export(session, *flags); });
  verb->add_option("--out", flags->out,
                   "the folder; metadata, targets, log and proofs below it are to be served")
      ->required();
  verb->add_option("--root", flags->root, "a root metadata file that you trust; needed for the first export");
  verb->add_flag("--prune", flags->prune,
                 "remove files that neither this export nor the one before it put in force");
  verb->add_flag("--reread", flags->reread, "read images that are there again, and fetch those that changed");
  verb->add_option("--follow", flags->follow_seconds,
                   "go on for ever, and export again after so many seconds")
      ->check(CLI::Range(1, 86400));
}

}  // namespace countersign::ctl
