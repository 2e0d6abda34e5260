// bundle: offline packages, which a gateway installs without network (SC-ALT).
#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "common/file/file.h"
#include "common/offline/collect.h"
#include "common/offline/package.h"
#include "common/status/errors.h"
#include "common/trust/metadata.h"
#include "common/trust/reasons.h"
#include "common/trust/update.h"
#include "countersign/package_store/v1/package_store.grpc.pb.h"
#include "countersign/rollout/v1/rollout.grpc.pb.h"
#include "tools/ctl/call.h"
#include "tools/ctl/commands.h"
#include "tools/ctl/files.h"

namespace countersign::ctl {
namespace {

namespace store = countersign::package_store::v1;
namespace rollout = countersign::rollout::v1;
using rollout::RolloutService;
using store::PackageStoreService;

constexpr int64_t kMinBytesPerSecond = 16 << 10;

absl::Status CheckLength(absl::string_view name, const std::string& bytes, int64_t max_length) {
  if (static_cast<int64_t>(bytes.size()) <= max_length) return absl::OkStatus();
  return trust::Refuse(trust::kLengthExceeded, absl::StrCat(name, " has more than ", max_length, " bytes"));
}

class DirectorSource : public trust::Fetcher {
 public:
  DirectorSource(Session& session, RolloutService::Stub& stub, std::string gateway)
      : session_(session), stub_(stub), gateway_(std::move(gateway)) {}

  absl::StatusOr<std::string> Fetch(absl::string_view filename, int64_t max_length) override {
    rollout::GetDirectorMetadataRequest request;
    request.set_file_name(std::string(filename));
    request.set_gateway(gateway_);
    ASSIGN_OR_RETURN(rollout::GetDirectorMetadataResponse file,
                     Call(session_, stub_, &RolloutService::Stub::GetDirectorMetadata, request));
    RETURN_IF_ERROR(CheckLength(filename, file.content(), max_length));
    return std::move(*file.mutable_content());
  }

 private:
  Session& session_;
  RolloutService::Stub& stub_;
  const std::string gateway_;
};

class ImageSource : public trust::Fetcher {
 public:
  ImageSource(Session& session, PackageStoreService::Stub& stub) : session_(session), stub_(stub) {}

  absl::StatusOr<std::string> Fetch(absl::string_view filename, int64_t max_length) override {
    store::GetMetadataRequest request;
    request.set_file_name(std::string(filename));
    ASSIGN_OR_RETURN(store::MetadataFile file,
                     Call(session_, stub_, &PackageStoreService::Stub::GetMetadata, request));
    RETURN_IF_ERROR(CheckLength(filename, file.content(), max_length));
    return std::move(*file.mutable_content());
  }

  // The image into `path`, verified.
  absl::Status Download(const offline::Target& target, const std::string& path) {
    std::ofstream out(path, std::ios::binary | std::ios::trunc);
    trust::ImageCheck check(target.length, target.sha256);
    store::DownloadImageRequest request;
    request.set_sha256(target.sha256);
    rpc::CallContext context(session_.timeout() + absl::Seconds(target.length / kMinBytesPerSecond));
    const auto reader = stub_.DownloadImage(context.get(), request);
    store::DownloadImageResponse response;
    absl::Status status;
    while (status.ok() && reader->Read(&response)) {
      status = check.Update(response.data());
      out.write(response.data().data(), static_cast<std::streamsize>(response.data().size()));
    }
    if (!status.ok()) context.get()->TryCancel();
    const absl::Status ended = rpc::FromGrpc(reader->Finish());
    RETURN_IF_ERROR(status);
    RETURN_IF_ERROR(ended);
    out.close();
    if (!out) return absl::InternalError(absl::StrCat("cannot write ", path));
    return check.Finish();
  }

  absl::Status AddVouchers(offline::Target& target) {
    store::GetPackageRequest request;
    request.set_target_path(target.path);
    ASSIGN_OR_RETURN(store::Package package,
                     Call(session_, stub_, &PackageStoreService::Stub::GetPackage, request));
    target.approval_statement = std::move(*package.mutable_approval_statement());
    target.log_proof = std::move(*package.mutable_log_proof());
    return absl::OkStatus();
  }

 private:
  Session& session_;
  PackageStoreService::Stub& stub_;
};

struct Flags {
  std::string gateway, output, director_root, image_root, image, file;
  std::vector<std::string> targets, components;
};

std::string Say(const offline::PackageVerdict& verdict) {
  std::vector<std::string> lines;
  for (const trust::VerifiedUpdate& update : verdict.updates) {
    lines.push_back(absl::StrCat(update.ecu_serial, "  ", update.path, "  version ", update.version));
  }
  if (verdict.pending) {
    lines.push_back("Not approved: only a device that may ask its user installs it, if the user insists.");
  }
  lines.push_back(absl::StrCat(
      "Good until ", absl::FormatTime(absl::RFC3339_sec, verdict.valid_until, absl::UTCTimeZone())));
  return absl::StrJoin(lines, "\n");
}

absl::Status Create(Session& session, const Flags& flags) {
  RETURN_IF_ERROR(RefuseToOverwrite(flags.output));
  offline::CollectOptions options{.gateway_id = flags.gateway};
  ASSIGN_OR_RETURN(options.image_root, ReadFile(flags.image_root));
  for (const std::string& path : flags.targets) {
    if (trust::IsPendingPath(path)) {
      options.pending[path] = flags.components;
    } else {
      options.target_paths.push_back(path);
    }
  }
  if (!options.pending.empty() && (!options.target_paths.empty() || flags.components.empty())) {
    return Error(absl::StatusCode::kInvalidArgument, "FLAG_MISSING",
                 "a package is either of what the Director orders, or of what is pending: then give "
                 "--component for each component that it is for");
  }
  if (options.pending.empty()) {
    if (flags.director_root.empty()) {
      return Error(absl::StatusCode::kInvalidArgument, "FLAG_MISSING", "give --director-root");
    }
    ASSIGN_OR_RETURN(options.director_root, ReadFile(flags.director_root));
  }
  ASSIGN_OR_RETURN(auto rollout_stub, MakeStub<RolloutService>(session, "rollout"));
  ASSIGN_OR_RETURN(auto store_stub, MakeStub<PackageStoreService>(session, "package-store"));
  DirectorSource director(session, *rollout_stub, flags.gateway);
  ImageSource images(session, *store_stub);
  ASSIGN_OR_RETURN(offline::Contents contents, offline::Collect(options, director, images, absl::Now()));
  if (!flags.image.empty() && contents.targets.size() != 1) {
    return Error(absl::StatusCode::kInvalidArgument, "FLAG_MISSING",
                 "--image is for a package with one image: give its --target");
  }
  std::map<std::string, std::string> files;
  std::vector<std::string> temporary;
  absl::Status status;
  for (offline::Target& target : contents.targets) {
    if (options.pending.empty()) status.Update(images.AddVouchers(target));
    if (!flags.image.empty()) {
      files[target.sha256] = flags.image;
      continue;
    }
    const std::string path = absl::StrCat(flags.output, ".", target.sha256);
    temporary.push_back(path);
    if (status.ok()) status = images.Download(target, path);
    files[target.sha256] = path;
  }
  if (status.ok()) status = offline::WritePackage(flags.output, contents, files);
  for (const std::string& path : temporary) RemoveFile(path).IgnoreError();
  RETURN_IF_ERROR(status);
  // What a gateway would refuse is found here, and not where there is no network.
  const auto verify = [&]() -> absl::StatusOr<offline::PackageVerdict> {
    ASSIGN_OR_RETURN(const offline::Package package, offline::Package::Open(flags.output));
    return offline::VerifyPackage(package, options.director_root, options.image_root, absl::Now());
  };
  const absl::StatusOr<offline::PackageVerdict> verdict = verify();
  if (!verdict.ok()) {
    RETURN_IF_ERROR(RemoveFile(flags.output));
    return Annotate(verdict.status(), "no gateway would take the package");
  }
  session.Say(Say(*verdict));
  return absl::OkStatus();
}

absl::Status Show(const Flags& flags) {
  ASSIGN_OR_RETURN(const offline::Package package, offline::Package::Open(flags.file));
  const offline::Contents& contents = package.contents();
  std::cout << "gateway   " << contents.gateway_id << "\n";
  for (const offline::Target& target : contents.targets) {
    std::cout << "image     " << target.path << "  " << target.length << " bytes  SHA-256 " << target.sha256
              << (target.approval_statement.empty() ? "  no approval statement" : "")
              << (target.log_proof.empty() ? "  no log proof" : "") << "\n";
    for (const std::string& serial : target.ecu_serials) std::cout << "          for " << serial << "\n";
  }
  for (const auto& [name, bytes] : contents.director) std::cout << "director  " << name << "\n";
  for (const auto& [name, bytes] : contents.images) std::cout << "images    " << name << "\n";
  std::cout << "Nothing of this is verified: see `bundle verify`.\n";
  return absl::OkStatus();
}

absl::Status Verify(Session& session, const Flags& flags) {
  ASSIGN_OR_RETURN(const offline::Package package, offline::Package::Open(flags.file));
  ASSIGN_OR_RETURN(const std::string image_root, ReadFile(flags.image_root));
  std::string director_root;
  if (!flags.director_root.empty()) {
    ASSIGN_OR_RETURN(director_root, ReadFile(flags.director_root));
  }
  ASSIGN_OR_RETURN(const offline::PackageVerdict verdict,
                   offline::VerifyPackage(package, director_root, image_root, absl::Now()));
  session.Say(Say(verdict));
  return absl::OkStatus();
}

}  // namespace

void AddBundleCommands(CLI::App& app, Session& session) {
  CLI::App& group =
      *app.add_subcommand("bundle", "Offline packages, which a gateway installs without network");
  group.require_subcommand(1);

  auto create = std::make_shared<Flags>();
  CLI::App* verb = session.AddVerb(
      group, "create", "Put together what is ordered for a gateway now, or what is pending (operator)",
      [&session, create] { return Create(session, *create); });
  verb->add_option("--gateway", create->gateway, "id of the gateway that it is for")->required();
  verb->add_option("--output", create->output, "the file to write")->required();
  verb->add_option("--target", create->targets,
                   "target path; may be repeated. All that is ordered if there is none");
  verb->add_option("--component", create->components,
                   "for targets below pending/: ecu serial of a component that it is for; may be repeated");
  verb->add_option("--image", create->image, "take the image from this file instead of the package store")
      ->check(CLI::ExistingFile);
  verb->add_option("--director-root", create->director_root,
                   "the Director's root metadata that the gateway came with")
      ->check(CLI::ExistingFile);
  verb->add_option("--image-root", create->image_root,
                   "the image repository's root metadata that the gateway came with")
      ->required()
      ->check(CLI::ExistingFile);

  auto show = std::make_shared<Flags>();
  verb = session.AddVerb(group, "show", "What is in a package; nothing is verified",
                         [show] { return Show(*show); });
  verb->add_option("file", show->file, "the package")->required();

  auto verify = std::make_shared<Flags>();
  verb =
      session.AddVerb(group, "verify", "Whether a gateway would take a package, but for what only it knows",
                      [&session, verify] { return Verify(session, *verify); });
  verb->add_option("file", verify->file, "the package")->required();
  verb->add_option("--director-root", verify->director_root,
                   "root metadata to start from; not for what is pending")
      ->check(CLI::ExistingFile);
  verb->add_option("--image-root", verify->image_root, "root metadata to start from")
      ->required()
      ->check(CLI::ExistingFile);
}

}  // namespace countersign::ctl
