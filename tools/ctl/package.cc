// image, package, repository: images on their way to approval, and the image repository.
#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/crypto/digest.h"
#include "common/crypto/open_signer.h"
#include "common/crypto/random.h"
#include "common/crypto/signer.h"
#include "common/file/file.h"
#include "common/status/errors.h"
#include "common/trust/dsse.h"
#include "common/trust/revocation.h"
#include "countersign/package_store/v1/package_store.grpc.pb.h"
#include "tools/ctl/call.h"
#include "tools/ctl/commands.h"
#include "tools/ctl/image.h"

namespace countersign::ctl {
namespace {

namespace v1 = countersign::package_store::v1;
using v1::PackageStoreService;
using Stub = PackageStoreService::Stub;

constexpr int kUploadChunkBytes = 256 << 10;
constexpr int64_t kDownloadPieceBytes = 32 << 20;
constexpr int kMaxAttemptsWithoutProgress = 5;

// Sends the rest of an upload; returns it as the store has it afterwards.
absl::StatusOr<v1::Upload> SendRest(Stub& stub, const v1::Upload& upload, const std::string& path,
                                    Progress& progress) {
  std::ifstream in(path, std::ios::binary);
  in.seekg(upload.committed_bytes());
  grpc::ClientContext* context = nullptr;
  rpc::CallContext call(absl::InfiniteFuture());
  context = call.get();
  v1::Upload after;
  std::unique_ptr<grpc::ClientWriter<v1::WriteUploadRequest>> writer = stub.WriteUpload(context, &after);
  v1::WriteUploadRequest request;
  request.set_name(upload.name());
  std::string buffer(kUploadChunkBytes, '\0');
  for (int64_t offset = upload.committed_bytes(); offset < upload.length_bytes();) {
    in.read(buffer.data(), kUploadChunkBytes);
    if (in.gcount() == 0) {
      context->TryCancel();
      writer->Finish();
      return Error(absl::StatusCode::kDataLoss, "FILE_CHANGED",
                   absl::StrCat(path, " became shorter while it was read"));
    }
    request.set_offset(offset);
    request.set_data(buffer.data(), in.gcount());
    if (!writer->Write(request)) break;
    offset += in.gcount();
    progress.Show(offset);
  }
  writer->WritesDone();
  RETURN_IF_ERROR(rpc::FromGrpc(writer->Finish()));
  return after;
}

absl::Status Upload(Session& session, const std::string& manufacturer, const std::string& path) {
  ASSIGN_OR_RETURN(const ImageDigest digest, DigestOf(path));
  ASSIGN_OR_RETURN(auto stub, MakeStub<PackageStoreService>(session, "package-store"));
  v1::CreateUploadRequest create;
  create.set_parent(ResourceName("manufacturers", manufacturer));
  create.mutable_upload()->set_length_bytes(digest.length_bytes);
  create.mutable_upload()->set_sha256(digest.sha256);
  Progress progress(path, digest.length_bytes);
  // A cut connection is resumed where the store has got to; a store that makes no progress is not tried for
  // ever.
  int64_t committed = -1;
  for (int attempt = 0;; ++attempt) {
    ASSIGN_OR_RETURN(v1::Upload upload, Call(session, *stub, &Stub::CreateUpload, create));
    if (upload.state() == v1::Upload::STATE_COMPLETE) {
      session.Print(upload);
      return absl::OkStatus();
    }
    if (upload.committed_bytes() > committed) attempt = 0;
    committed = upload.committed_bytes();
    absl::StatusOr<v1::Upload> after = SendRest(*stub, upload, path, progress);
    if (after.ok()) {
      session.Print(*after);
      return absl::OkStatus();
    }
    // Another stream, maybe our own that was cut, may have the upload, or have had it; or the store has no
    // memory for one more just now.
    const std::string reason = ReasonOf(after.status());
    const bool is_passing = absl::IsUnavailable(after.status()) || absl::IsAborted(after.status()) ||
                            reason == "UPLOADS_BUSY" || reason == "OFFSET_MISMATCH";
    if (!is_passing || attempt == kMaxAttemptsWithoutProgress) return after.status();
    absl::SleepFor(absl::Milliseconds(200) * (attempt + 1));
  }
}

absl::Status Download(Session& session, const std::string& sha256, const std::string& path) {
  ASSIGN_OR_RETURN(auto stub, MakeStub<PackageStoreService>(session, "package-store"));
  v1::DownloadImageRequest request;
  request.set_sha256(sha256);
  const std::string partial = absl::StrCat(path, ".partial");
  std::ofstream out(partial, std::ios::binary | std::ios::trunc);
  crypto::Sha256Stream digest;
  int64_t length = 0;
  // In pieces: what comes faster than it is written waits in memory. A cut connection is resumed behind what
  // has come.
  request.set_length_bytes(kDownloadPieceBytes);
  for (int attempt = 0;; ++attempt) {
    request.set_offset(length);
    rpc::CallContext context(absl::InfiniteFuture());
    auto reader = stub->DownloadImage(context.get(), request);
    v1::DownloadImageResponse response;
    while (reader->Read(&response)) {
      digest.Update(response.data());
      out.write(response.data().data(), response.data().size());
      length += response.data().size();
      attempt = 0;
    }
    const absl::Status status = rpc::FromGrpc(reader->Finish());
    if (status.ok() && length == request.offset() + kDownloadPieceBytes) continue;
    if (status.ok()) break;
    // The piece before ended with the image.
    if (ReasonOf(status) == "RANGE_INVALID" && length > 0) break;
    if (!absl::IsUnavailable(status) || attempt == kMaxAttemptsWithoutProgress) return status;
    absl::SleepFor(absl::Milliseconds(200) * (attempt + 1));
  }
  out.close();
  if (!out)
    return Error(absl::StatusCode::kResourceExhausted, "WRITE_FAILED",
                 absl::StrCat("cannot write ", partial, ": is the disk full?"));
  if (digest.FinishHex() != sha256) {
    return Error(absl::StatusCode::kDataLoss, "DIGEST_MISMATCH",
                 absl::StrCat("the bytes that came are not those of ", sha256, "; they are in ", partial));
  }
  if (std::rename(partial.c_str(), path.c_str()) != 0) {
    return Error(absl::StatusCode::kFailedPrecondition, "WRITE_FAILED",
                 absl::StrCat("cannot rename ", partial, " to ", path));
  }
  return absl::OkStatus();
}

absl::Status ShowUrl(Session& session, const std::string& sha256) {
  ASSIGN_OR_RETURN(auto stub, MakeStub<PackageStoreService>(session, "package-store"));
  v1::CreateDownloadUrlRequest request;
  request.set_sha256(sha256);
  ASSIGN_OR_RETURN(const v1::CreateDownloadUrlResponse response,
                   Call(session, *stub, &Stub::CreateDownloadUrl, request));
  session.Print(response);
  return absl::OkStatus();
}

// Signs and sends the revocation of a package as the store has it.
absl::Status Revoke(Session& session, const std::string& path, const std::string& reason,
                    const std::string& key) {
  ASSIGN_OR_RETURN(const std::unique_ptr<crypto::Signer> signer, crypto::OpenSigner(key));
  ASSIGN_OR_RETURN(auto stub, MakeStub<PackageStoreService>(session, "package-store"));
  v1::GetPackageRequest get;
  get.set_target_path(path);
  get.set_include_revoked(true);
  ASSIGN_OR_RETURN(const v1::Package package, Call(session, *stub, &Stub::GetPackage, get));
  trust::RevocationStatement statement;
  statement.sha256 = package.sha256();
  statement.target_path = path;
  statement.role_version = package.role_version();
  statement.reason = reason;
  statement.revoked_at = absl::FromUnixSeconds(absl::ToUnixSeconds(absl::Now()));
  trust::DsseEnvelope envelope = statement.ToEnvelope();
  RETURN_IF_ERROR(envelope.Sign(*signer));
  v1::RevokePackageRequest request;
  request.set_target_path(path);
  request.set_reason(reason);
  request.set_revocation_statement(envelope.Serialise());
  request.set_request_id(crypto::Uuid());
  ASSIGN_OR_RETURN(const v1::Package revoked, Call(session, *stub, &Stub::RevokePackage, request));
  session.Print(revoked);
  session.Say(absl::StrCat(
      "\nNo gateway gets it from now on, and rollouts of it stop. What remains to be done:\n"
      "- Clients that verify the metadata alone still accept it: the role of ",
      revoked.manufacturer(), " lists it. Have the manufacturer propose its next version without ", path,
      ", and approve that. If the manufacturer does not act, publish top-level targets with other keys for "
      "it "
      "(`repository publish-targets`): all its packages are withdrawn then, until both sign them again.\n"
      "- Devices that run it go on running it: `device components --filter 'manufacturer = \"",
      revoked.manufacturer(), "\" AND version = \"", revoked.version(),
      "\"'` names those of its version. They need a release with a higher counter."));
  return absl::OkStatus();
}

void AddImage(CLI::App& app, Session& session) {
  CLI::App& group = *app.add_subcommand("image", "Images: bytes known by their digest");
  group.require_subcommand(1);

  struct Flags {
    std::string manufacturer, path, sha256;
  };
  auto flags = std::make_shared<Flags>();
  CLI::App* verb =
      session.AddVerb(group, "upload", "Upload an image; a cut upload goes on where it was (manufacturer)",
                      [&session, flags] { return Upload(session, flags->manufacturer, flags->path); });
  verb->add_option("manufacturer", flags->manufacturer, "id of the manufacturer")->required();
  verb->add_option("file", flags->path, "the image")->required();

  verb = session.AddVerb(group, "download", "Download an image and check its digest",
                         [&session, flags] { return Download(session, flags->sha256, flags->path); });
  verb->add_option("sha256", flags->sha256, "SHA-256 of the image")->required();
  verb->add_option("file", flags->path, "where to")->required();
  verb = session.AddVerb(group, "url",
                         "A URL that gives anybody an image for an hour, if the store has a bucket",
                         [&session, flags] { return ShowUrl(session, flags->sha256); });
  verb->add_option("sha256", flags->sha256, "SHA-256 of the image")->required();
}

void AddPackage(CLI::App& app, Session& session) {
  CLI::App& group = *app.add_subcommand("package", "Packages that both parties signed");
  group.require_subcommand(1);

  auto get = std::make_shared<v1::GetPackageRequest>();
  CLI::App* verb = session.AddVerb(group, "show", "Show a package", [&session, get] {
    return CallAndPrint<PackageStoreService>(session, "package-store", &Stub::GetPackage, *get);
  });
  verb->add_option("target-path", *get->mutable_target_path(), "its path in the image repository")
      ->required();
  verb->add_flag_callback(
      "--revoked", [get] { get->set_include_revoked(true); }, "also one that was revoked or withdrawn");

  auto list = std::make_shared<v1::ListPackagesRequest>();
  list->set_parent("-");
  verb = session.AddVerb(group, "list", "List packages", [&session, list] {
    list->set_parent(ResourceName("manufacturers", list->parent()));
    return ListAndPrint<PackageStoreService>(session, "package-store", &Stub::ListPackages, *list,
                                             &v1::ListPackagesResponse::packages,
                                             {{"PACKAGE", "target_path"},
                                              {"VERSION", "version"},
                                              {"HARDWARE", "hardware_ids"},
                                              {"BYTES", "length_bytes"},
                                              {"APPROVED BY", "approved_by"},
                                              {"AT", "approve_time"},
                                              {"STATE", "state"}});
  });
  verb->add_option("--manufacturer", *list->mutable_parent(), "only those of this manufacturer");
  verb->add_flag_callback(
      "--revoked", [list] { list->set_include_revoked(true); }, "also those that were revoked or withdrawn");

  struct Flags {
    std::string path, reason, key;
  };
  auto flags = std::make_shared<Flags>();
  verb =
      session.AddVerb(group, "revoke", "Take a package back, at once and for ever (Management Authority)",
                      [&session, flags] { return Revoke(session, flags->path, flags->reason, flags->key); });
  verb->add_option("target-path", flags->path, "its path in the image repository")->required();
  verb->add_option("--reason", flags->reason, "why, for everybody")->required();
  verb->add_option("--key", flags->key, "the Management Authority's private key, PEM file or PKCS#11 URI")
      ->required();

  auto history = std::make_shared<v1::ListPackageEventsRequest>();
  history->set_parent("-");
  verb = session.AddVerb(group, "history", "Who did what, when and why, newest first", [&session, history] {
    history->set_parent(ResourceName("manufacturers", history->parent()));
    return ListAndPrint<PackageStoreService>(session, "package-store", &Stub::ListPackageEvents, *history,
                                             &v1::ListPackageEventsResponse::events,
                                             {{"TIME", "time"},
                                              {"WHAT", "kind"},
                                              {"PACKAGE", "target_path"},
                                              {"BY", "identity"},
                                              {"WHY", "reason"},
                                              {"KEYS", "key_ids"}});
  });
  verb->add_option("target-path", *history->mutable_target_path(), "only of this package");
  verb->add_option("--manufacturer", *history->mutable_parent(), "only of this manufacturer");
}

void AddPending(CLI::App& app, Session& session) {
  CLI::App& group = *app.add_subcommand("pending", "What a manufacturer offers without approval");
  group.require_subcommand(1);

  struct Flags {
    std::string manufacturer, file;
  };
  auto flags = std::make_shared<Flags>();
  CLI::App* verb = session.AddVerb(
      group, "publish", "Publish signed metadata of the pending role (manufacturer)",
      [&session, flags]() -> absl::Status {
        v1::PublishPendingRequest request;
        request.set_parent(ResourceName("manufacturers", flags->manufacturer));
        ASSIGN_OR_RETURN(*request.mutable_metadata(), ReadFile(flags->file));
        return CallAndPrint<PackageStoreService>(session, "package-store", &Stub::PublishPending, request);
      });
  verb->add_option("manufacturer", flags->manufacturer, "id of the manufacturer")->required();
  verb->add_option("file", flags->file, "the signed metadata, made with `metadata role --pending`")
      ->required();
}

void AddRepository(CLI::App& app, Session& session) {
  CLI::App& group = *app.add_subcommand("repository", "The image repository");
  group.alias("repo");
  group.require_subcommand(1);

  auto file = std::make_shared<std::string>();
  CLI::App* verb = session.AddVerb(
      group, "publish-root", "Publish signed root metadata (operator, authority)",
      [&session, file]() -> absl::Status {
        v1::PublishRootRequest request;
        ASSIGN_OR_RETURN(*request.mutable_metadata(), ReadFile(*file));
        return CallAndPrint<PackageStoreService>(session, "package-store", &Stub::PublishRoot, request);
      });
  verb->add_option("file", *file, "the signed root metadata")->required();

  verb = session.AddVerb(
      group, "publish-targets", "Publish signed top-level targets metadata (operator, authority)",
      [&session, file]() -> absl::Status {
        v1::PublishTargetsRequest request;
        ASSIGN_OR_RETURN(*request.mutable_metadata(), ReadFile(*file));
        return CallAndPrint<PackageStoreService>(session, "package-store", &Stub::PublishTargets, request);
      });
  verb->add_option("file", *file, "the signed targets metadata")->required();

  auto get = std::make_shared<v1::GetMetadataRequest>();
  verb = session.AddVerb(
      group, "show", "Print a published file byte for byte", [&session, get]() -> absl::Status {
        ASSIGN_OR_RETURN(auto stub, MakeStub<PackageStoreService>(session, "package-store"));
        ASSIGN_OR_RETURN(const v1::MetadataFile found, Call(session, *stub, &Stub::GetMetadata, *get));
        std::cout << found.content();
        return absl::OkStatus();
      });
  verb->add_option("file-name", *get->mutable_file_name(), "e.g. timestamp.json or 1.root.json")->required();
}

}  // namespace

void AddPackageCommands(CLI::App& app, Session& session) {
  AddImage(app, session);
  AddPackage(app, session);
  AddPending(app, session);
  AddRepository(app, session);
}

}  // namespace countersign::ctl
