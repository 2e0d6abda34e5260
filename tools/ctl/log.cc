// log: the image repository's transparency log, as everybody can check it.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/crypto/hex.h"
#include "common/file/file.h"
#include "common/status/errors.h"
#include "common/tlog/proof.h"
#include "common/tlog/reasons.h"
#include "common/tlog/tile.h"
#include "common/trust/verify.h"
#include "countersign/package_store/v1/package_store.grpc.pb.h"
#include "tools/ctl/call.h"
#include "tools/ctl/commands.h"
#include "tools/ctl/image.h"
#include "tools/ctl/log_audit.h"

namespace countersign::ctl {
namespace {

namespace v1 = countersign::package_store::v1;
using v1::PackageStoreService;
using Stub = PackageStoreService::Stub;

// How often the packages are listed anew because something was published meanwhile.
constexpr int kMaxAttempts = 5;

// Whose log: its verifier key, or a root that names it.
struct KeyFlags {
  std::string vkey, root;
};

void AddKeyFlags(CLI::App* verb, KeyFlags& flags) {
  CLI::Option* vkey = verb->add_option("--vkey", flags.vkey, "the log's verifier key");
  verb->add_option("--root", flags.root, "a trusted root of the image repository, which names the log's key")
      ->excludes(vkey);
}

absl::Status KeyNeeded() {
  return Error(absl::StatusCode::kInvalidArgument, "FLAG_MISSING",
               "say whose log is trusted: --root FILE, or --vkey KEY");
}

struct Store {
  std::unique_ptr<Stub> stub;
  LogSource source;
};

absl::StatusOr<std::shared_ptr<Store>> DialStore(Session& session) {
  auto store = std::make_shared<Store>();
  ASSIGN_OR_RETURN(store->stub, MakeStub<PackageStoreService>(session, "package-store"));
  Stub& stub = *store->stub;
  store->source.log = [&session, &stub](const std::string& path) -> absl::StatusOr<std::string> {
    v1::GetLogFileRequest request;
    request.set_path(path);
    ASSIGN_OR_RETURN(v1::LogFile file, Call(session, stub, &Stub::GetLogFile, request));
    return std::move(*file.mutable_content());
  };
  store->source.metadata = [&session, &stub](const std::string& name) -> absl::StatusOr<std::string> {
    v1::GetMetadataRequest request;
    request.set_file_name(name);
    ASSIGN_OR_RETURN(v1::MetadataFile file, Call(session, stub, &Stub::GetMetadata, request));
    return std::move(*file.mutable_content());
  };
  return store;
}

absl::StatusOr<tlog::VerifierKey> LogKey(const KeyFlags& flags, const LogSource& source) {
  if (!flags.vkey.empty()) return tlog::VerifierKey::Parse(flags.vkey);
  if (flags.root.empty()) return KeyNeeded();
  ASSIGN_OR_RETURN(const std::string root, ReadFile(flags.root));
  return LogKeyOf(root, source.metadata);
}

// The head that was kept at the end of the last run; nullopt at the first.
absl::StatusOr<std::optional<tlog::Checkpoint>> ReadState(const std::string& path) {
  const absl::StatusOr<std::string> bytes = ReadFile(path);
  if (absl::IsNotFound(bytes.status())) return std::nullopt;
  RETURN_IF_ERROR(bytes.status());
  absl::StatusOr<tlog::Checkpoint> head = tlog::Checkpoint::Parse(*bytes);
  if (!head.ok()) return Annotate(head.status(), path);
  return *std::move(head);
}

// The proof against the log must not be lost: its last word stays, and says what was kept from before.
absl::StatusOr<tlog::TileReader> OpenAndCompare(const LogSource& source, const tlog::VerifierKey& key,
                                                const std::optional<tlog::Checkpoint>& before,
                                                const std::string& state) {
  absl::StatusOr<tlog::TileReader> log = OpenLog(source, key, before);
  if (ReasonOf(log.status()) != tlog::kInconsistent) return log;
  return Annotate(log.status(), absl::StrCat("keep ", state, " and `countersign log head`"));
}

std::string Describe(const Finding& finding) {
  std::string text = finding.index ? absl::StrCat("entry ", *finding.index) : "no entry";
  if (!finding.entry.kind.empty()) absl::StrAppend(&text, " ", finding.entry.ToLeaf());
  return absl::StrCat(text, ": ", finding.what);
}

absl::Status Found(const std::vector<Finding>& findings, absl::string_view reason, absl::string_view what) {
  for (const Finding& finding : findings) std::cout << Describe(finding) << std::endl;
  if (findings.empty()) return absl::OkStatus();
  return Error(absl::StatusCode::kDataLoss, reason, absl::StrCat(what, ": ", findings.size()));
}

struct VerifyFlags {
  KeyFlags key;
  std::string state, manufacturer;
};

absl::StatusOr<std::map<std::string, PublishedPackage>> ListPackages(Session& session, Stub& stub,
                                                                     const std::string& manufacturer) {
  v1::ListPackagesRequest request;
  request.set_parent(ResourceName("manufacturers", manufacturer.empty() ? "-" : manufacturer));
  request.set_page_size(1000);
  ASSIGN_OR_RETURN(const std::vector<v1::Package> listed,
                   ListAll(session, stub, &Stub::ListPackages, request, &v1::ListPackagesResponse::packages));
  std::map<std::string, PublishedPackage> packages;
  for (const v1::Package& package : listed) {
    packages[package.target_path()] = {package.sha256(), package.role_version()};
  }
  return packages;
}

absl::Status Verify(Session& session, const VerifyFlags& flags) {
  ASSIGN_OR_RETURN(const std::shared_ptr<Store> store, DialStore(session));
  ASSIGN_OR_RETURN(const tlog::VerifierKey key, LogKey(flags.key, store->source));
  ASSIGN_OR_RETURN(const std::optional<tlog::Checkpoint> before, ReadState(flags.state));
  ASSIGN_OR_RETURN(tlog::TileReader log, OpenAndCompare(store->source, key, before, flags.state));
  // The packages and the head that they belong to: nothing is published between the two.
  std::map<std::string, PublishedPackage> packages;
  for (int attempt = 0;; ++attempt) {
    ASSIGN_OR_RETURN(packages, ListPackages(session, *store->stub, flags.manufacturer));
    ASSIGN_OR_RETURN(tlog::TileReader after, OpenAndCompare(store->source, key, log.head(), flags.state));
    const bool same = after.head().size == log.head().size;
    log = std::move(after);
    if (same) break;
    if (attempt == kMaxAttempts) {
      return Error(absl::StatusCode::kUnavailable, "LOG_GROWS", "the log grows all the time: try again");
    }
  }
  ASSIGN_OR_RETURN(const LogReport report, AuditLog(log, store->source, packages, flags.manufacturer));
  RETURN_IF_ERROR(Found(report.findings, "LOG_NOT_AS_PUBLISHED", "what is not as the log has it"));
  RETURN_IF_ERROR(WriteFileAtomically(flags.state, log.head().Text()));
  session.Say(absl::StrCat(
      "The log ", key.name(), " has ", log.head().size, " entries under a head that its key signed",
      before ? absl::StrCat(", and begins with the ", before->size, " that it had") : "", ". ",
      report.files_checked, " name metadata that the store serves, ", report.files_gone,
      " such that it does not any more; all ", packages.size(), " packages are in it."));
  return absl::OkStatus();
}

struct MonitorFlags {
  KeyFlags key;
  std::string state, role;
  std::vector<std::string> known;
  bool follow = false;
  int interval_seconds = 10;
};

// Files have to be role metadata; what else is in a folder is passed over.
absl::StatusOr<KnownRoles> LoadKnown(const std::vector<std::string>& paths) {
  KnownRoles known;
  for (const std::string& path : paths) {
    std::error_code error;
    if (!std::filesystem::is_directory(path, error)) {
      ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path));
      if (const absl::Status status = known.Add(bytes); !status.ok()) return Annotate(status, path);
      continue;
    }
    for (const auto& file : std::filesystem::directory_iterator(path, error)) {
      if (!file.is_regular_file(error)) continue;
      const absl::StatusOr<std::string> bytes = ReadFile(file.path().string());
      if (bytes.ok()) known.Add(*bytes).IgnoreError();
    }
    if (error) {
      return Error(absl::StatusCode::kNotFound, "FILE_NOT_FOUND",
                   absl::StrCat(path, " cannot be read: ", error.message()));
    }
  }
  return known;
}

// Entries that nobody accounted for stay in sight: the state goes on only behind a log that is all known.
absl::Status Monitor(Session& session, const MonitorFlags& flags) {
  ASSIGN_OR_RETURN(const std::shared_ptr<Store> store, DialStore(session));
  ASSIGN_OR_RETURN(std::optional<tlog::Checkpoint> seen, ReadState(flags.state));
  int64_t next = seen ? seen->size : 0;
  bool all_known = true;
  for (bool first = true;; first = false) {
    if (!first) absl::SleepFor(absl::Seconds(flags.interval_seconds));
    ASSIGN_OR_RETURN(const KnownRoles known, LoadKnown(flags.known));
    const auto look = [&]() -> absl::StatusOr<std::vector<Finding>> {
      ASSIGN_OR_RETURN(const tlog::VerifierKey key, LogKey(flags.key, store->source));
      ASSIGN_OR_RETURN(tlog::TileReader log, OpenAndCompare(store->source, key, seen, flags.state));
      ASSIGN_OR_RETURN(std::vector<Finding> findings,
                       EntriesNotMade(log, next, flags.role, known, store->source));
      next = log.head().size;
      seen = log.head();
      all_known = all_known && findings.empty();
      if (all_known) RETURN_IF_ERROR(WriteFileAtomically(flags.state, log.head().Text()));
      return findings;
    };
    const absl::StatusOr<std::vector<Finding>> findings = look();
    if (flags.follow && absl::IsUnavailable(findings.status())) {
      std::cerr << "countersign: " << findings.status().message() << std::endl;
      continue;
    }
    RETURN_IF_ERROR(findings.status());
    const absl::Status status = Found(*findings, "ENTRY_NOT_MADE",
                                      absl::StrCat("entries about ", flags.role, " that it has not made"));
    if (!flags.follow) {
      if (status.ok()) {
        session.Say(absl::StrCat("The log has ", next, " entries; all that are about ", flags.role,
                                 " are of the ", known.size(), " known files."));
      }
      return status;
    }
  }
}

absl::Status SaveProof(Session& session, const std::string& target_path, const std::string& out) {
  ASSIGN_OR_RETURN(const std::shared_ptr<Store> store, DialStore(session));
  v1::GetPackageRequest request;
  request.set_target_path(target_path);
  ASSIGN_OR_RETURN(const v1::Package package, Call(session, *store->stub, &Stub::GetPackage, request));
  if (package.log_proof().empty()) {
    return Error(absl::StatusCode::kFailedPrecondition, "NOT_IN_LOG",
                 absl::StrCat(target_path, " was approved before there was a log"));
  }
  return WriteFileAtomically(out, package.log_proof());
}

struct CheckFlags {
  KeyFlags key;
  std::string proof, image, sha256, target_path;
};

absl::Status CheckProof(Session& session, const CheckFlags& flags) {
  std::string vkey = flags.key.vkey;
  if (vkey.empty()) {
    if (flags.key.root.empty()) return KeyNeeded();
    ASSIGN_OR_RETURN(const std::string bytes, ReadFile(flags.key.root));
    ASSIGN_OR_RETURN(const trust::Root root, trust::VerifyFirstRoot(bytes));
    vkey = root.log_key;
  }
  ASSIGN_OR_RETURN(const tlog::VerifierKey key, tlog::VerifierKey::Parse(vkey));
  std::string sha256 = flags.sha256;
  if (!flags.image.empty()) {
    ASSIGN_OR_RETURN(const ImageDigest digest, DigestOf(flags.image));
    sha256 = digest.sha256;
  }
  if (!crypto::IsSha256Hex(sha256)) {
    return Error(absl::StatusCode::kInvalidArgument, "FLAG_MISSING",
                 "say what is to be proven: --image FILE, or --sha256 and 64 lower-case hexadecimal digits");
  }
  ASSIGN_OR_RETURN(const std::string bytes, ReadFile(flags.proof));
  ASSIGN_OR_RETURN(const tlog::OfflineProof proof, tlog::OfflineProof::Parse(bytes));
  ASSIGN_OR_RETURN(const tlog::LogEntry entry, tlog::LogEntry::Parse(proof.extra));
  RETURN_IF_ERROR(tlog::CheckApprovalLeaf(proof.extra,
                                          flags.target_path.empty() ? entry.target_path : flags.target_path,
                                          sha256, entry.role_version)
                      .status());
  ASSIGN_OR_RETURN(const tlog::Checkpoint head, proof.Verify(proof.extra, key));
  session.Say(absl::StrCat("Entry ", proof.index, " of ", head.size, " in the log ", head.origin, ": ",
                           entry.target_path, " with SHA-256 ", sha256, " was approved in version ",
                           entry.role_version, " of the role ", entry.role, "."));
  return absl::OkStatus();
}

}  // namespace

void AddLogCommands(CLI::App& app, Session& session) {
  CLI::App& group = *app.add_subcommand("log", "The transparency log: what was published is public");
  group.require_subcommand(1);

  auto verify = std::make_shared<VerifyFlags>();
  CLI::App* verb = session.AddVerb(
      group, "verify", "Check the whole log: its head, every entry, and what is published against it",
      [&session, verify] { return Verify(session, *verify); });
  AddKeyFlags(verb, verify->key);
  verb->add_option("--state", verify->state, "file that keeps the last head, which the log must continue")
      ->required();
  verb->add_option("--manufacturer", verify->manufacturer,
                   "only the packages of this one, as who may see no others");

  auto monitor = std::make_shared<MonitorFlags>();
  verb = session.AddVerb(group, "monitor", "Tell a manufacturer of entries about it that it has not made",
                         [&session, monitor] { return Monitor(session, *monitor); });
  AddKeyFlags(verb, monitor->key);
  verb->add_option("--role", monitor->role, "id of the manufacturer")->required();
  verb->add_option("--known", monitor->known,
                   "role metadata that the manufacturer has signed, or a folder of it; may be repeated")
      ->required();
  verb->add_option("--state", monitor->state, "file that keeps the last head behind which all was known")
      ->required();
  verb->add_flag("--follow", monitor->follow, "go on watching; prints what it finds, and does not end");
  verb->add_option("--interval", monitor->interval_seconds, "seconds between two looks of --follow")
      ->check(CLI::Range(1, 86400));

  struct Proof {
    std::string target_path, out;
  };
  auto proof = std::make_shared<Proof>();
  verb = session.AddVerb(group, "proof", "Save the proof that a package's approval is in the log",
                         [&session, proof] { return SaveProof(session, proof->target_path, proof->out); });
  verb->add_option("target-path", proof->target_path, "the package's path in the image repository")
      ->required();
  verb->add_option("--out", proof->out, "file to write, by convention <name>.tlog-proof")->required();

  auto check = std::make_shared<CheckFlags>();
  verb = session.AddVerb(group, "check-proof", "Check such a proof (offline)",
                         [&session, check] { return CheckProof(session, *check); });
  verb->add_option("file", check->proof, "the proof")->required();
  AddKeyFlags(verb, check->key);
  CLI::Option* image = verb->add_option("--image", check->image, "the image");
  verb->add_option("--sha256", check->sha256, "or its digest")->excludes(image);
  verb->add_option("--target-path", check->target_path, "the path that it has to have been approved for");

  verb = session.AddVerb(group, "head", "Print the signed head byte for byte", [&session]() -> absl::Status {
    ASSIGN_OR_RETURN(const std::shared_ptr<Store> store, DialStore(session));
    ASSIGN_OR_RETURN(const std::string head, store->source.log(tlog::kCheckpointPath));
    std::cout << head;
    return absl::OkStatus();
  });
}

}  // namespace countersign::ctl
