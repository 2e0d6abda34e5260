// proposal: what manufacturers propose, and what the Management Authority examines, signs and refuses
// (SC-MA).
#include <CLI/CLI.hpp>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "common/clock/clock.h"
#include "common/crypto/digest.h"
#include "common/crypto/open_signer.h"
#include "common/crypto/random.h"
#include "common/file/file.h"
#include "common/status/errors.h"
#include "common/trust/reasons.h"
#include "countersign/liaison/v1/liaison.grpc.pb.h"
#include "countersign/package_store/v1/package_store.grpc.pb.h"
#include "google/protobuf/util/json_util.h"
#include "tools/ctl/call.h"
#include "tools/ctl/commands.h"
#include "tools/ctl/image.h"
#include "tools/ctl/review.h"

namespace countersign::ctl {
namespace {

namespace v1 = countersign::package_store::v1;
namespace liaison = countersign::liaison::v1;
using v1::PackageStoreService;
using Stub = PackageStoreService::Stub;
using liaison::LiaisonService;

constexpr char kProposalFile[] = "proposal.json";

struct Flags {
  std::string manufacturer, file, folder, name, key, reason, root, reviewed, out;
  int valid_days = 90;
};

// The store's metadata, as a TUF client fetches it; what was fetched is kept.
class StoreSource : public trust::Fetcher {
 public:
  StoreSource(Session& session, Stub& stub) : session_(session), stub_(stub) {}

  absl::StatusOr<std::string> Fetch(absl::string_view filename, int64_t max_length) override {
    v1::GetMetadataRequest request;
    request.set_file_name(std::string(filename));
    ASSIGN_OR_RETURN(v1::MetadataFile file, Call(session_, stub_, &Stub::GetMetadata, request));
    if (static_cast<int64_t>(file.content().size()) > max_length) {
      return Error(absl::StatusCode::kResourceExhausted, trust::kLengthExceeded,
                   absl::StrCat(filename, " has more than ", max_length, " bytes"));
    }
    return files_[std::string(filename)] = std::move(*file.mutable_content());
  }
  const std::map<std::string, std::string>& files() const { return files_; }

 private:
  Session& session_;
  Stub& stub_;
  std::map<std::string, std::string> files_;
};

// The metadata of a folder that `proposal download` wrote.
class FolderSource : public trust::Fetcher {
 public:
  explicit FolderSource(std::string folder) : folder_(std::move(folder)) {}
  absl::StatusOr<std::string> Fetch(absl::string_view filename, int64_t max_length) override {
    return ReadFile(absl::StrCat(folder_, "/metadata/", filename), max_length);
  }

 private:
  const std::string folder_;
};

absl::StatusOr<v1::Proposal> GetProposal(Session& session, Stub& stub, const std::string& name) {
  v1::GetProposalRequest request;
  request.set_name(name);
  return Call(session, stub, &Stub::GetProposal, request);
}

absl::StatusOr<Review> ReviewOnline(Session& session, Stub& stub, StoreSource& source, const Flags& flags) {
  ASSIGN_OR_RETURN(const std::string root, ReadFile(flags.root));
  ASSIGN_OR_RETURN(const v1::Proposal proposal, GetProposal(session, stub, flags.name));
  return ReviewProposal(proposal, source, root, SystemClock().Now());
}

// Hands an image's bytes to `sink`; OK if they are those of the target.
absl::Status FetchImage(Stub& stub, const ReviewedTarget& target,
                        const std::function<void(absl::string_view)>& sink) {
  v1::DownloadImageRequest request;
  request.set_sha256(target.target.sha256);
  rpc::CallContext context(absl::InfiniteFuture());
  auto reader = stub.DownloadImage(context.get(), request);
  crypto::Sha256Stream digest;
  int64_t length = 0;
  v1::DownloadImageResponse response;
  while (reader->Read(&response)) {
    digest.Update(response.data());
    length += response.data().size();
    if (length > target.target.length) context->TryCancel();
    sink(response.data());
  }
  const absl::Status status = rpc::FromGrpc(reader->Finish());
  if (length <= target.target.length) RETURN_IF_ERROR(status);
  if (length == target.target.length && digest.FinishHex() == target.target.sha256) return absl::OkStatus();
  return Error(absl::StatusCode::kDataLoss, "DIGEST_MISMATCH",
               absl::StrCat("the image of ", target.path,
                            " is not the one that the proposal names: do not approve it"));
}

absl::Status CheckReviewed(const Review& review, const std::string& reviewed) {
  if (reviewed.empty() || reviewed == review.digest) return absl::OkStatus();
  return Error(absl::StatusCode::kAborted, "PROPOSAL_CHANGED",
               absl::StrCat("what is proposed now has digest ", review.digest, ", not ", reviewed,
                            ": examine it again with `proposal show`"));
}

// What the manufacturer has announced about the targets, by path and digest. It is for people: nothing is
// decided by it.
std::map<std::pair<std::string, std::string>, liaison::Release> Announced(Session& session,
                                                                          const std::string& manufacturer,
                                                                          std::string* missing) {
  std::map<std::pair<std::string, std::string>, liaison::Release> found;
  const auto stub = MakeStub<LiaisonService>(session, "liaison");
  liaison::ListReleasesRequest request;
  request.set_parent(ResourceName("manufacturers", manufacturer));
  absl::Status status = stub.status();
  if (status.ok()) {
    const auto releases = ListAll(session, **stub, &LiaisonService::Stub::ListReleases, request,
                                  &liaison::ListReleasesResponse::releases);
    status = releases.status();
    if (releases.ok()) {
      for (const liaison::Release& release : *releases) {
        const common::v1::Image& image = release.info().image();
        found[{image.target_path(), image.sha256()}] = release;
      }
    }
  }
  if (!status.ok()) *missing = absl::StrCat("not known, liaison could not be asked: ", status.message());
  return found;
}

std::string LowerName(absl::string_view name, absl::string_view prefix) {
  return absl::AsciiStrToLower(absl::StripPrefix(name, prefix));
}

void PrintRelease(const liaison::Release& release) {
  const common::v1::ReleaseInfo& info = release.info();
  std::cout << "    release      " << release.name() << "\n    kind         "
            << LowerName(common::v1::UpdateKind_Name(info.kind()), "UPDATE_KIND_") << "\n    criticality  "
            << LowerName(common::v1::Criticality_Name(info.criticality()), "CRITICALITY_")
            << "\n    models       " << absl::StrJoin(info.models(), ", ") << "\n";
  if (!info.mixed_justification().empty())
    std::cout << "    mixed        " << info.mixed_justification() << "\n";
  if (info.has_advisory()) {
    std::cout << "    closes       " << absl::StrJoin(info.advisory().ids(), ", ") << "\n    risk         "
              << info.advisory().risk() << "\n    action       " << info.advisory().action() << "\n";
  }
  for (const common::v1::UserNotice& notice : info.notices()) {
    std::cout << "    purpose      [" << notice.language() << "] " << notice.purpose()
              << "\n    changes      [" << notice.language() << "] " << notice.changes() << "\n";
  }
  if (info.has_terms()) {
    std::cout << "    terms        " << info.terms().id() << " " << info.terms().version() << ", SHA-256 "
              << info.terms().text_sha256() << "\n";
  }
}

void PrintReview(Session& session, const Review& review) {
  const v1::Proposal& proposal = review.proposal;
  std::string missing = "none is announced for this path and digest";
  const auto announced = Announced(session, review.manufacturer, &missing);
  std::cout << proposal.name() << "\n"
            << "  state          " << LowerName(v1::Proposal::State_Name(proposal.state()), "STATE_") << "\n"
            << "  proposed       by " << proposal.proposed_by() << ", "
            << absl::FormatDuration(
                   absl::Trunc(SystemClock().Now() - absl::FromUnixSeconds(proposal.create_time().seconds()),
                               absl::Seconds(1)))
            << " ago\n"
            << "  role           " << review.manufacturer << " version " << review.targets.version
            << ", after " << review.version_in_force << "; expires "
            << absl::FormatTime("%Y-%m-%d %H:%M UTC", review.targets.expires, absl::UTCTimeZone()) << "\n"
            << "  signed by      " << review.manufacturer_key_id << " (verified)\n"
            << "  to be signed   by " << review.authority_key_id << "\n"
            << "  digest         " << review.digest << "\n";
  for (const ReviewedTarget& changed : review.changed) {
    const trust::TargetFile& target = changed.target;
    std::cout << "\n  " << (changed.before ? "~ " : "+ ") << changed.path << "\n    image        "
              << target.length << " bytes, SHA-256 " << target.sha256 << "\n    version      "
              << target.custom.version;
    if (changed.before && changed.before->custom.version != target.custom.version) {
      std::cout << " (in force: " << changed.before->custom.version << ")";
    }
    std::cout << "\n    counter      " << target.custom.release_counter.value_or(0);
    if (changed.before && changed.before->custom.release_counter != target.custom.release_counter) {
      std::cout << " (in force: " << changed.before->custom.release_counter.value_or(0) << ")";
    }
    std::cout << "\n    hardware     " << absl::StrJoin(target.custom.hardware_ids, ", ");
    if (changed.before && changed.before->custom.hardware_ids != target.custom.hardware_ids) {
      std::cout << " (in force: " << absl::StrJoin(changed.before->custom.hardware_ids, ", ") << ")";
    }
    std::cout << "\n";
    const auto release = announced.find({changed.path, target.sha256});
    if (release != announced.end()) {
      PrintRelease(release->second);
    } else {
      std::cout << "    release      " << missing << "\n";
    }
  }
  for (const std::string& path : review.removed)
    std::cout << "\n  - " << path << "\n    would be withdrawn\n";
  if (proposal.state() == v1::Proposal::STATE_AWAITING_APPROVAL) {
    std::cout << "\nTo approve exactly this: countersign proposal approve " << proposal.name()
              << " --reviewed " << review.digest << " --key ...\n";
  }
}

absl::Status Show(Session& session, const Flags& flags) {
  ASSIGN_OR_RETURN(auto stub, MakeStub<PackageStoreService>(session, "package-store"));
  if (flags.root.empty()) {
    ASSIGN_OR_RETURN(const v1::Proposal proposal, GetProposal(session, *stub, flags.name));
    session.Print(proposal);
    session.Say(
        "Nothing of this has been verified: give --root to have it verified and compared with what is in "
        "force.");
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const v1::Proposal proposal, GetProposal(session, *stub, flags.name));
  // What was decided is no proposal for the next version any more; it is shown as it is.
  if (proposal.state() != v1::Proposal::STATE_AWAITING_APPROVAL) {
    session.Print(proposal);
    return absl::OkStatus();
  }
  StoreSource source(session, *stub);
  ASSIGN_OR_RETURN(const std::string root, ReadFile(flags.root));
  ASSIGN_OR_RETURN(const Review review, ReviewProposal(proposal, source, root, SystemClock().Now()));
  if (session.json()) {
    session.Print(review.proposal);
  } else {
    PrintReview(session, review);
  }
  return absl::OkStatus();
}

std::string ImagePath(const std::string& folder, const ReviewedTarget& target) {
  return absl::StrCat(folder, "/images/", target.path);
}

absl::Status WriteJson(const std::string& path, const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  options.preserve_proto_field_names = true;
  std::string json;
  if (!google::protobuf::util::MessageToJsonString(message, &json, options).ok()) {
    return absl::InternalError(absl::StrCat("cannot write ", path));
  }
  return WriteFileAtomically(path, json);
}

absl::Status DownloadTo(Session& session, const Flags& flags) {
  ASSIGN_OR_RETURN(auto stub, MakeStub<PackageStoreService>(session, "package-store"));
  StoreSource source(session, *stub);
  ASSIGN_OR_RETURN(const Review review, ReviewOnline(session, *stub, source, flags));
  for (const ReviewedTarget& target : review.changed) {
    const std::string path = ImagePath(flags.folder, target);
    RETURN_IF_ERROR(MakeDirectories(path.substr(0, path.rfind('/'))));
    const std::string partial = absl::StrCat(path, ".partial");
    Progress progress(target.path, target.target.length);
    std::ofstream out(partial, std::ios::binary | std::ios::trunc);
    int64_t done = 0;
    RETURN_IF_ERROR(FetchImage(*stub, target, [&](absl::string_view data) {
      out.write(data.data(), data.size());
      progress.Show(done += data.size());
    }));
    out.close();
    if (!out || std::rename(partial.c_str(), path.c_str()) != 0) {
      return Error(absl::StatusCode::kResourceExhausted, "WRITE_FAILED",
                   absl::StrCat("cannot write ", path, ": is the disk full?"));
    }
  }
  RETURN_IF_ERROR(MakeDirectories(absl::StrCat(flags.folder, "/metadata")));
  for (const auto& [name, content] : source.files()) {
    RETURN_IF_ERROR(WriteFileAtomically(absl::StrCat(flags.folder, "/metadata/", name), content));
  }
  RETURN_IF_ERROR(WriteJson(absl::StrCat(flags.folder, "/", kProposalFile), review.proposal));
  if (session.json()) {
    session.Print(review.proposal);
  } else {
    PrintReview(session, review);
  }
  session.Say(absl::StrCat("\nIt is in ", flags.folder, ", each image verified by its digest."));
  return absl::OkStatus();
}

// Without any service: from a folder of `proposal download`, perhaps on a machine without a network.
absl::Status SignOffline(Session& session, const Flags& flags) {
  ASSIGN_OR_RETURN(const std::string root, ReadFile(flags.root));
  v1::Proposal proposal;
  RETURN_IF_ERROR(ReadJson(absl::StrCat(flags.folder, "/", kProposalFile), &proposal));
  FolderSource source(flags.folder);
  ASSIGN_OR_RETURN(const Review review, ReviewProposal(proposal, source, root, SystemClock().Now()));
  RETURN_IF_ERROR(CheckReviewed(review, flags.reviewed));
  for (const ReviewedTarget& target : review.changed) {
    const std::string path = ImagePath(flags.folder, target);
    ASSIGN_OR_RETURN(const ImageDigest digest, DigestOf(path));
    if (digest.sha256 != target.target.sha256 || digest.length_bytes != target.target.length) {
      return Error(absl::StatusCode::kDataLoss, "DIGEST_MISMATCH",
                   absl::StrCat(path, " is not the image that the proposal names: do not approve it"));
    }
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<crypto::Signer> signer, crypto::OpenSigner(flags.key));
  ASSIGN_OR_RETURN(const v1::ApproveProposalRequest request,
                   SignApproval(review, flags.valid_days, *signer, SystemClock().Now()));
  RETURN_IF_ERROR(WriteJson(flags.out, request));
  session.Say(absl::StrCat("Signed ", review.digest, ": bring ", flags.out,
                           " to a machine with a network, and `proposal submit` it."));
  return absl::OkStatus();
}

absl::Status Submit(Session& session, const std::string& file) {
  v1::ApproveProposalRequest request;
  RETURN_IF_ERROR(ReadJson(file, &request));
  return CallAndPrint<PackageStoreService>(session, "package-store", &Stub::ApproveProposal, request);
}

absl::Status Approve(Session& session, const Flags& flags) {
  ASSIGN_OR_RETURN(const std::unique_ptr<crypto::Signer> signer, crypto::OpenSigner(flags.key));
  ASSIGN_OR_RETURN(auto stub, MakeStub<PackageStoreService>(session, "package-store"));
  StoreSource source(session, *stub);
  ASSIGN_OR_RETURN(const Review review, ReviewOnline(session, *stub, source, flags));
  RETURN_IF_ERROR(CheckReviewed(review, flags.reviewed));
  for (const ReviewedTarget& target : review.changed) {
    RETURN_IF_ERROR(FetchImage(*stub, target, [](absl::string_view) {}));
  }
  ASSIGN_OR_RETURN(const v1::ApproveProposalRequest request,
                   SignApproval(review, flags.valid_days, *signer, SystemClock().Now()));
  ASSIGN_OR_RETURN(const v1::Proposal approved, Call(session, *stub, &Stub::ApproveProposal, request));
  session.Print(approved);
  return absl::OkStatus();
}

void AddRoot(CLI::App* verb, Flags& flags, bool required) {
  CLI::Option* root =
      verb->add_option("--root", flags.root, "the image repository's root that you trust, e.g. 1.root.json")
          ->envname("COUNTERSIGN_IMAGE_ROOT");
  if (required) root->required();
}

void AddSigning(CLI::App* verb, Flags& flags) {
  AddRoot(verb, flags, /*required=*/true);
  verb->add_option("--key", flags.key, "the Management Authority's private key, PEM file or PKCS#11 URI")
      ->required();
  verb->add_option("--reviewed", flags.reviewed,
                   "refuse to sign anything but what `proposal show` gave this digest of");
  verb->add_option("--valid-days", flags.valid_days, "days that the approval statements hold")
      ->check(CLI::Range(1, 3650));
}

void AddName(CLI::App* verb, Flags& flags) {
  verb->add_option("name", flags.name, "manufacturers/{manufacturer}/proposals/{proposal}")->required();
}

void AddList(CLI::App& group, Session& session) {
  struct List {
    std::string state;
    v1::ListProposalsRequest request;
  };
  auto list = std::make_shared<List>();
  list->request.set_parent("-");
  static const std::map<std::string, v1::Proposal::State> kStates = {
      {"waiting", v1::Proposal::STATE_AWAITING_APPROVAL},
      {"approved", v1::Proposal::STATE_APPROVED},
      {"refused", v1::Proposal::STATE_REFUSED},
      {"superseded", v1::Proposal::STATE_SUPERSEDED}};
  CLI::App* verb = session.AddVerb(group, "list", "List proposals, oldest first", [&session, list] {
    list->request.set_parent(ResourceName("manufacturers", list->request.parent()));
    if (!list->state.empty()) list->request.set_state(kStates.at(list->state));
    return ListAndPrint<PackageStoreService>(session, "package-store", &Stub::ListProposals, list->request,
                                             &v1::ListProposalsResponse::proposals,
                                             {{"PROPOSAL", "name"},
                                              {"STATE", "state"},
                                              {"VERSION", "role_version"},
                                              {"BY", "proposed_by"},
                                              {"SINCE", "create_time"},
                                              {"DECIDED BY", "decided_by"},
                                              {"REFUSED BECAUSE", "refusal_reason"}});
  });
  verb->add_option("--manufacturer", *list->request.mutable_parent(), "only those of this manufacturer");
  verb->add_option("--state", list->state, "waiting, approved, refused or superseded")
      ->check(CLI::IsMember(kStates));
}

}  // namespace

void AddProposalCommands(CLI::App& app, Session& session) {
  CLI::App& group =
      *app.add_subcommand("proposal", "What manufacturers propose and the Management Authority decides");
  group.require_subcommand(1);
  AddList(group, session);

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

  // Flags of its own for each verb: CLI11 writes what the environment says for verbs that were not called,
  // too, and would put it in the place of what the command line says.
  flags = std::make_shared<Flags>();
  verb = session.AddVerb(group, "show", "Show what is proposed, verified and compared with what is in force",
                         [&session, flags] { return Show(session, *flags); });
  AddName(verb, *flags);
  AddRoot(verb, *flags, /*required=*/false);

  flags = std::make_shared<Flags>();
  verb = session.AddVerb(
      group, "download",
      "Fetch a proposal, its images and all that `proposal sign` needs into a folder, verified",
      [&session, flags] { return DownloadTo(session, *flags); });
  AddName(verb, *flags);
  verb->add_option("folder", flags->folder, "where to")->required();
  AddRoot(verb, *flags, /*required=*/true);

  flags = std::make_shared<Flags>();
  verb = session.AddVerb(group, "approve",
                         "Fetch what is proposed, verify all of it, and sign it (Management Authority)",
                         [&session, flags] { return Approve(session, *flags); });
  AddName(verb, *flags);
  AddSigning(verb, *flags);

  flags = std::make_shared<Flags>();
  verb =
      session.AddVerb(group, "sign", "Sign a downloaded proposal, without a network (Management Authority)",
                      [&session, flags] { return SignOffline(session, *flags); });
  verb->add_option("folder", flags->folder, "what `proposal download` wrote")->required();
  verb->add_option("--out", flags->out, "the signed approval, for `proposal submit`")->required();
  AddSigning(verb, *flags);

  verb = session.AddVerb(group, "submit", "Send an approval that was signed elsewhere (Management Authority)",
                         [&session, flags] { return Submit(session, flags->file); });
  verb->add_option("file", flags->file, "what `proposal sign` wrote")->required();

  verb = session.AddVerb(group, "refuse", "Refuse a proposal (Management Authority)", [&session, flags] {
    v1::RefuseProposalRequest request;
    request.set_name(flags->name);
    request.set_reason(flags->reason);
    request.set_request_id(crypto::Uuid());
    return CallAndPrint<PackageStoreService>(session, "package-store", &Stub::RefuseProposal, request);
  });
  AddName(verb, *flags);
  verb->add_option("--reason", flags->reason, "why, for the manufacturer")->required();
}

}  // namespace countersign::ctl
