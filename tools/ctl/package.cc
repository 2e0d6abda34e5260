// image, proposal, package, repository: images on their way to approval, and the image repository.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/crypto/digest.h"
#include "common/crypto/hex.h"
#include "common/crypto/open_signer.h"
#include "common/crypto/random.h"
#include "common/crypto/signer.h"
#include "common/file/file.h"
#include "common/status/errors.h"
#include "common/trust/dsse.h"
#include "common/trust/envelope.h"
#include "common/trust/keys.h"
#include "common/trust/metadata.h"
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

// The digest of an image as the store gives it out, without keeping it.
absl::Status CheckStoredImage(Stub& stub, const v1::ProposedTarget& target) {
  v1::DownloadImageRequest request;
  request.set_sha256(target.sha256());
  rpc::CallContext context(absl::InfiniteFuture());
  auto reader = stub.DownloadImage(context.get(), request);
  crypto::Sha256Stream digest;
  int64_t length = 0;
  v1::DownloadImageResponse response;
  while (reader->Read(&response)) {
    digest.Update(response.data());
    length += response.data().size();
  }
  RETURN_IF_ERROR(rpc::FromGrpc(reader->Finish()));
  if (digest.FinishHex() == target.sha256() && length == target.length_bytes()) return absl::OkStatus();
  return Error(absl::StatusCode::kDataLoss, "DIGEST_MISMATCH",
               absl::StrCat("the image of ", target.target_path(),
                            " is not the one that the proposal names: do not approve it"));
}

// What the authority states about one target, signed (SC-GEN-11).
absl::StatusOr<std::string> Statement(const v1::Proposal& proposal, const v1::ProposedTarget& target,
                                      int valid_days, const crypto::Signer& signer) {
  trust::ApprovalStatement statement;
  statement.sha256 = target.sha256();
  statement.target_path = target.target_path();
  statement.role_version = proposal.role_version();
  statement.hardware_ids.assign(target.hardware_ids().begin(), target.hardware_ids().end());
  statement.release_counter = target.release_counter();
  statement.valid_from = absl::FromUnixSeconds(absl::ToUnixSeconds(absl::Now()));
  statement.valid_until = statement.valid_from + absl::Hours(24) * valid_days;
  trust::DsseEnvelope envelope = statement.ToEnvelope();
  RETURN_IF_ERROR(envelope.Sign(signer));
  return envelope.Serialise();
}

absl::Status Approve(Session& session, const std::string& name, const std::string& key, int valid_days) {
  ASSIGN_OR_RETURN(const std::unique_ptr<crypto::Signer> signer, crypto::OpenSigner(key));
  ASSIGN_OR_RETURN(auto stub, MakeStub<PackageStoreService>(session, "package-store"));
  v1::GetProposalRequest get;
  get.set_name(name);
  ASSIGN_OR_RETURN(const v1::Proposal proposal, Call(session, *stub, &Stub::GetProposal, get));
  // What is signed is what was read here: the store's account of the targets is not taken for it.
  ASSIGN_OR_RETURN(trust::Envelope envelope, trust::Envelope::Parse(proposal.metadata()));
  ASSIGN_OR_RETURN(const trust::Targets targets, trust::Targets::Parse(envelope));
  v1::ApproveProposalRequest request;
  request.set_name(name);
  request.set_request_id(crypto::Uuid());
  for (const v1::ProposedTarget& target : proposal.changed_targets()) {
    const auto signed_target = targets.targets.find(target.target_path());
    if (signed_target == targets.targets.end() || signed_target->second.sha256 != target.sha256() ||
        signed_target->second.length != target.length_bytes() ||
        signed_target->second.custom.release_counter != target.release_counter()) {
      return Error(absl::StatusCode::kDataLoss, "PROPOSAL_INCONSISTENT",
                   absl::StrCat("what the store says of ", target.target_path(),
                                " is not what the manufacturer signed"));
    }
    RETURN_IF_ERROR(CheckStoredImage(*stub, target));
    ASSIGN_OR_RETURN(*request.add_approval_statements(), Statement(proposal, target, valid_days, *signer));
  }
  RETURN_IF_ERROR(envelope.Sign(*signer));
  const std::string key_id = trust::KeyId(signer->public_key());
  for (const trust::Signature& signature : envelope.signatures()) {
    if (signature.key_id != key_id) continue;
    v1::MetadataSignature& mine = *request.add_signatures();
    mine.set_key_id(key_id);
    mine.set_signature(crypto::HexEncode(signature.bytes));
  }
  ASSIGN_OR_RETURN(const v1::Proposal approved, Call(session, *stub, &Stub::ApproveProposal, request));
  session.Print(approved);
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

void AddProposal(CLI::App& app, Session& session) {
  CLI::App& group =
      *app.add_subcommand("proposal", "What manufacturers propose and the Management Authority decides");
  group.require_subcommand(1);

  struct Flags {
    std::string manufacturer, file, name, key, reason;
    int valid_days = 90;
  };
  auto flags = std::make_shared<Flags>();
  CLI::App* verb = session.AddVerb(
      group, "create", "Propose signed role metadata (manufacturer)", [&session, flags]() -> absl::Status {
        v1::CreateProposalRequest request;
        request.set_parent(ResourceName("manufacturers", flags->manufacturer));
        ASSIGN_OR_RETURN(*request.mutable_metadata(), ReadFile(flags->file));
        request.set_request_id(crypto::Uuid());
        return CallAndPrint<PackageStoreService>(session, "package-store", &Stub::CreateProposal, request);
      });
  verb->add_option("manufacturer", flags->manufacturer, "id of the manufacturer")->required();
  verb->add_option("file", flags->file, "the signed role metadata")->required();

  struct List {
    std::string state;
    v1::ListProposalsRequest request;
  };
  auto list = std::make_shared<List>();
  list->request.set_parent("-");
  static const std::map<std::string, v1::Proposal::State> kStates = {
      {"waiting", v1::Proposal::STATE_AWAITING_APPROVAL},
      {"approved", v1::Proposal::STATE_APPROVED},
      {"refused", v1::Proposal::STATE_REFUSED}};
  verb = session.AddVerb(group, "list", "List proposals", [&session, list] {
    list->request.set_parent(ResourceName("manufacturers", list->request.parent()));
    if (!list->state.empty()) list->request.set_state(kStates.at(list->state));
    return ListAndPrint<PackageStoreService>(session, "package-store", &Stub::ListProposals, list->request,
                                             &v1::ListProposalsResponse::proposals,
                                             {{"PROPOSAL", "name"},
                                              {"STATE", "state"},
                                              {"VERSION", "role_version"},
                                              {"BY", "proposed_by"},
                                              {"DECIDED BY", "decided_by"},
                                              {"REFUSED BECAUSE", "refusal_reason"}});
  });
  verb->add_option("--manufacturer", *list->request.mutable_parent(), "only those of this manufacturer");
  verb->add_option("--state", list->state, "waiting, approved or refused")->check(CLI::IsMember(kStates));

  verb = session.AddVerb(group, "show", "Show a proposal", [&session, flags] {
    v1::GetProposalRequest request;
    request.set_name(flags->name);
    return CallAndPrint<PackageStoreService>(session, "package-store", &Stub::GetProposal, request);
  });
  verb->add_option("name", flags->name, "manufacturers/{manufacturer}/proposals/{proposal}")->required();

  verb = session.AddVerb(
      group, "approve", "Fetch what is proposed, check its images, and sign it (Management Authority)",
      [&session, flags] { return Approve(session, flags->name, flags->key, flags->valid_days); });
  verb->add_option("name", flags->name, "manufacturers/{manufacturer}/proposals/{proposal}")->required();
  verb->add_option("--key", flags->key, "the Management Authority's private key, PEM file or PKCS#11 URI")
      ->required();
  verb->add_option("--valid-days", flags->valid_days, "days that the approval statements hold")
      ->check(CLI::Range(1, 3650));

  verb = session.AddVerb(group, "refuse", "Refuse a proposal (Management Authority)", [&session, flags] {
    v1::RefuseProposalRequest request;
    request.set_name(flags->name);
    request.set_reason(flags->reason);
    request.set_request_id(crypto::Uuid());
    return CallAndPrint<PackageStoreService>(session, "package-store", &Stub::RefuseProposal, request);
  });
  verb->add_option("name", flags->name, "manufacturers/{manufacturer}/proposals/{proposal}")->required();
  verb->add_option("--reason", flags->reason, "why, for the manufacturer")->required();
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
                                              {"AT", "approve_time"}});
  });
  verb->add_option("--manufacturer", *list->mutable_parent(), "only those of this manufacturer");
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
  AddProposal(app, session);
  AddPackage(app, session);
  AddRepository(app, session);
}

}  // namespace countersign::ctl
