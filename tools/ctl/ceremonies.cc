// root, targets, and the signing of metadata: key ceremonies on files, without any service. A file travels
// from key to key; each holder sees what they sign, and what is still missing.
#include <CLI/CLI.hpp>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "common/crypto/open_signer.h"
#include "common/crypto/signer.h"
#include "common/file/file.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/tlog/note.h"
#include "common/trust/envelope.h"
#include "common/trust/keys.h"
#include "common/trust/metadata.h"
#include "tools/ctl/ceremony.h"
#include "tools/ctl/commands.h"
#include "tools/ctl/files.h"
#include "tools/ctl/inspect.h"
#include "tools/ctl/session.h"

namespace countersign::ctl {
namespace {

constexpr int kMaxExpiryDays = 3650;
constexpr const char* kRoles[] = {"root", "targets", "snapshot", "timestamp"};

absl::StatusOr<Document> LoadDocument(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path));
  return ParseDocument(path, bytes);
}

// The document at `path`, or none if that is empty.
absl::StatusOr<std::optional<Document>> LoadOptional(const std::string& path) {
  if (path.empty()) return std::nullopt;
  ASSIGN_OR_RETURN(Document document, LoadDocument(path));
  return document;
}

const Document* AddressOf(const std::optional<Document>& document) { return document ? &*document : nullptr; }

// When the new metadata expires.
struct ExpiryFlags {
  int days;
  std::string until;

  void Add(CLI::App& verb) {
    verb.add_option("--expires-days", days, "days that it holds")
        ->check(CLI::Range(1, kMaxExpiryDays))
        ->capture_default_str();
    verb.add_option("--expires", until, "the moment until which it holds instead, e.g. 2027-01-31T00:00:00Z");
  }
  absl::StatusOr<absl::Time> Get() const { return ExpiryOf(days, until, absl::Now()); }
};

struct RootFlags {
  std::string previous, out, log_key;
  ExpiryFlags expiry{365, ""};
  std::map<std::string, std::vector<std::string>> add, remove;  // by role
  std::map<std::string, int> thresholds;                        // 0: as it is
};

// A key by its file, or what it is called by.
std::string KeyIdOf(const std::string& text) {
  const absl::StatusOr<crypto::PublicKey> key = LoadPublicKey(text);
  return key.ok() ? trust::KeyId(*key) : text;
}

// A verifier key, as it is or from "<name>=<public key file>".
absl::StatusOr<tlog::VerifierKey> LogKeyOf(const std::string& text) {
  if (absl::StatusOr<tlog::VerifierKey> key = tlog::VerifierKey::Parse(text); key.ok()) return key;
  const std::vector<std::string> parts = absl::StrSplit(text, absl::MaxSplits('=', 1));
  if (parts.size() != 2) {
    return Error(absl::StatusCode::kInvalidArgument, "LOG_KEY_MALFORMED",
                 absl::StrCat(text,
                              ": write <the log's name>=<its Ed25519 public key>, or a verifier key of C2SP "
                              "signed-note"));
  }
  ASSIGN_OR_RETURN(const crypto::PublicKey key, LoadPublicKey(parts[1]));
  return tlog::VerifierKey::Make(parts[0], key);
}

absl::StatusOr<RootChange> RootChangeOf(const RootFlags& flags) {
  RootChange change;
  ASSIGN_OR_RETURN(change.expires, flags.expiry.Get());
  for (const std::string role : kRoles) {
    RoleChange& of_role = change.roles[role];
    for (const std::string& text : flags.add.at(role)) {
      const auto [party, file] = SplitParty(text);
      const bool offline = role == "root" || role == "targets";
      if (!party.empty() &&
          (!offline || (party != trust::kOperatorParty && party != trust::kAuthorityParty))) {
        return Error(absl::StatusCode::kInvalidArgument, "PARTY_INVALID",
                     offline ? absl::StrCat(text, ": write operator=<file> or authority=<file>")
                             : absl::StrCat(text, ": a key of ", role,
                                            " signs online and is no organisation's; give the file alone"));
      }
      ASSIGN_OR_RETURN(crypto::PublicKey key, LoadPublicKey(file));
      of_role.add.push_back({party, std::move(key)});
    }
    const auto removed = flags.remove.find(role);
    if (removed != flags.remove.end()) {
      for (const std::string& text : removed->second) of_role.remove.push_back(KeyIdOf(text));
    }
    if (flags.thresholds.at(role) > 0) of_role.threshold = flags.thresholds.at(role);
  }
  if (!flags.log_key.empty()) {
    ASSIGN_OR_RETURN(change.log_key, LogKeyOf(flags.log_key));
  }
  return change;
}

// Says lines that end in a newline.
void SayLines(Session& session, absl::string_view lines) { session.Say(absl::StripSuffix(lines, "\n")); }

// Writes what somebody is to sign, and says what it is.
absl::Status WriteUnsigned(Session& session, const trust::Envelope& envelope, const std::string& out,
                           const Document* previous, const Document* above) {
  RETURN_IF_ERROR(RefuseToOverwrite(out));
  const std::string bytes = envelope.Serialise();
  ASSIGN_OR_RETURN(const Document document, ParseDocument(out, bytes));
  ASSIGN_OR_RETURN(const std::vector<Signers> signers, SignersOf(document, above, previous));
  RETURN_IF_ERROR(WriteFileAtomically(out, bytes));
  SayLines(session, absl::StrCat(out, ": ", Describe(document, signers, previous, absl::Now())));
  return absl::OkStatus();
}

absl::Status WriteRoot(Session& session, const RootFlags& flags) {
  ASSIGN_OR_RETURN(const std::optional<Document> previous, LoadOptional(flags.previous));
  if (previous && !previous->root) {
    return Error(absl::StatusCode::kInvalidArgument, "WRONG_PARENT",
                 absl::StrCat(flags.previous, " is no root"));
  }
  ASSIGN_OR_RETURN(const RootChange change, RootChangeOf(flags));
  ASSIGN_OR_RETURN(const trust::Root root, ChangeRoot(previous ? &*previous->root : nullptr, change));
  return WriteUnsigned(session, root.ToEnvelope(), flags.out, AddressOf(previous), AddressOf(previous));
}

struct TargetsFlags {
  std::string previous, out, root, authority;
  ExpiryFlags expiry{180, ""};
  std::vector<std::string> add, rotate, remove, add_pending, remove_pending;
};

absl::StatusOr<std::vector<TargetsChange::Manufacturer>> ManufacturersOf(
    const std::vector<std::string>& texts) {
  std::vector<TargetsChange::Manufacturer> manufacturers;
  for (const std::string& text : texts) {
    const auto [id, file] = SplitParty(text);
    if (id.empty() || absl::StrContains(file, ',')) {
      return Error(absl::StatusCode::kInvalidArgument, "MANUFACTURER_INVALID",
                   absl::StrCat(text, ": write <manufacturer>=<its public key>"));
    }
    ASSIGN_OR_RETURN(crypto::PublicKey key, LoadPublicKey(file));
    manufacturers.emplace_back(id, std::move(key));
  }
  return manufacturers;
}

absl::Status WriteTargets(Session& session, const TargetsFlags& flags) {
  ASSIGN_OR_RETURN(const std::optional<Document> previous, LoadOptional(flags.previous));
  if (previous && previous->role() != "targets") {
    return Error(absl::StatusCode::kInvalidArgument, "WRONG_PARENT",
                 absl::StrCat(flags.previous, " is not the top-level targets"));
  }
  ASSIGN_OR_RETURN(const std::optional<Document> root, LoadOptional(flags.root));
  TargetsChange change;
  ASSIGN_OR_RETURN(change.expires, flags.expiry.Get());
  ASSIGN_OR_RETURN(change.add, ManufacturersOf(flags.add));
  ASSIGN_OR_RETURN(change.rotate, ManufacturersOf(flags.rotate));
  change.remove = flags.remove;
  change.add_pending = flags.add_pending;
  change.remove_pending = flags.remove_pending;
  if (!flags.authority.empty()) {
    ASSIGN_OR_RETURN(change.authority, LoadPublicKey(flags.authority));
  }
  if (root && !root->root) {
    return Error(absl::StatusCode::kInvalidArgument, "WRONG_PARENT", absl::StrCat(flags.root, " is no root"));
  }
  ASSIGN_OR_RETURN(const trust::Targets targets, ChangeTargets(previous ? &*previous->targets : nullptr,
                                                               change, root ? &*root->root : nullptr));
  return WriteUnsigned(session, targets.ToEnvelope(), flags.out, AddressOf(previous), AddressOf(root));
}

absl::Status Sign(Session& session, const std::string& file, const std::vector<std::string>& keys,
                  const std::string& under) {
  std::vector<std::unique_ptr<crypto::Signer>> holders;
  for (const std::string& key : keys) {
    ASSIGN_OR_RETURN(holders.emplace_back(), crypto::OpenSigner(key));
  }
  ASSIGN_OR_RETURN(Document document, LoadDocument(file));
  ASSIGN_OR_RETURN(const std::optional<Document> above, LoadOptional(under));
  ASSIGN_OR_RETURN(const std::vector<Signers> signers, SignersOf(document, AddressOf(above)));
  for (const std::unique_ptr<crypto::Signer>& holder : holders) {
    RETURN_IF_ERROR(CheckMaySign(document, signers, holder->public_key()));
    RETURN_IF_ERROR(document.envelope.Sign(*holder));
  }
  RETURN_IF_ERROR(WriteFileAtomically(file, document.envelope.Serialise()));
  SayLines(session, signers.empty()
                        ? absl::StrCat(file, ": signed; with --under it would be checked that the key counts")
                        : absl::StrCat(file, ": ", SigningStatus(document, signers)));
  return absl::OkStatus();
}

absl::Status Merge(Session& session, const std::string& file, const std::vector<std::string>& copies) {
  ASSIGN_OR_RETURN(Document document, LoadDocument(file));
  for (const std::string& path : copies) {
    ASSIGN_OR_RETURN(const Document copy, LoadDocument(path));
    if (copy.envelope.canonical() != document.envelope.canonical()) {
      return Error(absl::StatusCode::kInvalidArgument, "NOT_A_COPY",
                   absl::StrCat(path, " says something else than ", file,
                                ": its signatures would not be over these bytes"));
    }
    for (const trust::Signature& signature : copy.envelope.signatures())
      document.envelope.AddSignature(signature);
  }
  RETURN_IF_ERROR(WriteFileAtomically(file, document.envelope.Serialise()));
  ASSIGN_OR_RETURN(const std::vector<Signers> signers, SignersOf(document, nullptr));
  SayLines(session, absl::StrCat(file, ": ", document.envelope.signatures().size(), " signatures\n",
                                 SigningStatus(document, signers)));
  return absl::OkStatus();
}

absl::Status Show(Session& session, const std::string& file, const std::string& under,
                  const std::string& previous_file) {
  ASSIGN_OR_RETURN(const Document document, LoadDocument(file));
  if (session.json()) {
    std::cout << document.envelope.Serialise() << "\n";
    return absl::OkStatus();
  }
  // The version before a root is also what says who must sign it.
  const std::string above_file = document.root && under.empty() ? previous_file : under;
  ASSIGN_OR_RETURN(const std::optional<Document> above, LoadOptional(above_file));
  ASSIGN_OR_RETURN(const std::optional<Document> previous,
                   LoadOptional(document.root && previous_file.empty() ? under : previous_file));
  if (previous && previous->role() != document.role()) {
    return Error(absl::StatusCode::kInvalidArgument, "WRONG_PARENT",
                 absl::StrCat(previous_file, " is no earlier version of ", file));
  }
  ASSIGN_OR_RETURN(const std::vector<Signers> signers,
                   SignersOf(document, AddressOf(above), AddressOf(previous)));
  std::cout << Describe(document, signers, AddressOf(previous), absl::Now());
  return absl::OkStatus();
}

absl::Status Verify(Session& session, const std::vector<std::string>& files, const std::string& at) {
  absl::Time now = absl::Now();
  if (!at.empty()) {
    ASSIGN_OR_RETURN(now, trust::ParseUtc(at));
  }
  std::vector<Document> documents;
  for (const std::string& file : files) {
    ASSIGN_OR_RETURN(Document document, LoadDocument(file));
    documents.push_back(std::move(document));
  }
  ASSIGN_OR_RETURN(const std::string text, VerifyFiles(std::move(documents), now));
  SayLines(session, text);
  return absl::OkStatus();
}

void AddRoot(CLI::App& app, Session& session) {
  CLI::App& group = *app.add_subcommand("root", "Root metadata in files (offline): who may sign for what");
  group.require_subcommand(1);

  auto create = std::make_shared<RootFlags>();
  CLI::App* verb = session.AddVerb(group, "create", "Write version 1, unsigned",
                                   [&session, create] { return WriteRoot(session, *create); });
  verb->add_option("--out", create->out, "file to write")->required();
  create->expiry.Add(*verb);
  for (const char* role : kRoles) {
    create->thresholds[role] = 1;
    verb->add_option(
            absl::StrCat("--", role, "-key"), create->add[role],
            absl::StrCat("public key of ", role,
                         "; of root and targets operator=<file> or authority=<file>, the file alone for "
                         "a Director's root; may be repeated"))
        ->required();
    verb->add_option(absl::StrCat("--", role, "-threshold"), create->thresholds[role],
                     absl::StrCat("signatures that ", role, " needs"))
        ->check(CLI::PositiveNumber);
  }
  verb->add_option("--log-key", create->log_key,
                   "<name>=<public key> of the transparency log, or its verifier key");

  auto change = std::make_shared<RootFlags>();
  verb = session.AddVerb(group, "change",
                         "Write the next version, unsigned: other keys, thresholds, expiry, log key",
                         [&session, change] { return WriteRoot(session, *change); });
  verb->add_option("file", change->previous, "the root before it")->required();
  verb->add_option("--out", change->out, "file to write")->required();
  change->expiry.Add(*verb);
  for (const char* role : kRoles) {
    change->thresholds[role] = 0;
    verb->add_option(absl::StrCat("--add-", role, "-key"), change->add[role],
                     absl::StrCat("a key that ", role, " gets; as in `root create`; may be repeated"));
    verb->add_option(absl::StrCat("--remove-", role, "-key"), change->remove[role],
                     absl::StrCat("a key that ", role, " loses: its file, or its id; may be repeated"));
    verb->add_option(absl::StrCat("--", role, "-threshold"), change->thresholds[role],
                     absl::StrCat("signatures that ", role, " needs from now on"))
        ->check(CLI::PositiveNumber);
  }
  verb->add_option("--log-key", change->log_key,
                   "<name>=<public key> of the transparency log from now on, or its verifier key");
}

void AddTargets(CLI::App& app, Session& session) {
  CLI::App& group =
      *app.add_subcommand("targets", "The top-level targets in files (offline): the manufacturers' roles");
  group.require_subcommand(1);

  auto create = std::make_shared<TargetsFlags>();
  CLI::App* verb = session.AddVerb(group, "create", "Write version 1, unsigned",
                                   [&session, create] { return WriteTargets(session, *create); });
  verb->add_option("--out", create->out, "file to write")->required();
  create->expiry.Add(*verb);
  verb->add_option("--authority-key", create->authority, "public key with which the authority approves")
      ->required();
  verb->add_option("--manufacturer", create->add, "<manufacturer>=<its public key>; may be repeated");
  verb->add_option("--pending", create->add_pending,
                   "a manufacturer that also gets a role for what is not approved; may be repeated");
  verb->add_option("--root", create->root,
                   "the root in force, to see that its keys are not mixed up with these");

  auto change = std::make_shared<TargetsFlags>();
  verb = session.AddVerb(group, "change", "Write the next version, unsigned: other manufacturers, other keys",
                         [&session, change] { return WriteTargets(session, *change); });
  verb->add_option("file", change->previous, "the targets before it")->required();
  verb->add_option("--out", change->out, "file to write")->required();
  change->expiry.Add(*verb);
  verb->add_option("--add-manufacturer", change->add, "<manufacturer>=<its public key>; may be repeated");
  verb->add_option("--rotate-manufacturer", change->rotate,
                   "<manufacturer>=<its new public key>: the old one counts no more; may be repeated");
  verb->add_option("--remove-manufacturer", change->remove,
                   "a manufacturer whose roles end; may be repeated");
  verb->add_option("--add-pending", change->add_pending,
                   "a manufacturer that gets a role for what is not approved; may be repeated");
  verb->add_option("--remove-pending", change->remove_pending, "one that loses it; may be repeated");
  verb->add_option("--rotate-authority", change->authority,
                   "public key with which the authority approves from now on, in every role");
  verb->add_option("--root", change->root,
                   "the root in force, to see that its keys are not mixed up with these");
}

}  // namespace

void AddSigningVerbs(CLI::App& metadata, Session& session) {
  struct Flags {
    std::string file, under, previous, at;
    std::vector<std::string> keys, files;
  };
  constexpr char kUnderHelp[] =
      "what says who may sign: the root for targets, the targets for a role, the version before for a root";
  auto flags = std::make_shared<Flags>();
  CLI::App* verb =
      session.AddVerb(metadata, "sign", "Sign or co-sign a metadata file; tells what is missing",
                      [&session, flags] { return Sign(session, flags->file, flags->keys, flags->under); });
  verb->add_option("file", flags->file, "the metadata, changed in place")->required();
  verb->add_option("--key", flags->keys, "a private key, PEM file or PKCS#11 URI; may be repeated")
      ->required();
  verb->add_option("--under", flags->under, kUnderHelp);

  verb = session.AddVerb(metadata, "merge", "Put signatures together that were made on copies of a file",
                         [&session, flags] { return Merge(session, flags->file, flags->files); });
  verb->add_option("file", flags->file, "the metadata, changed in place")->required();
  verb->add_option("copies", flags->files, "copies of it with other signatures")->required();

  verb = session.AddVerb(
      metadata, "show", "What a metadata file says, who has signed, who is missing, what changes",
      [&session, flags] { return Show(session, flags->file, flags->under, flags->previous); });
  verb->add_option("file", flags->file, "the metadata")->required();
  verb->add_option("--under", flags->under, kUnderHelp);
  verb->add_option("--previous", flags->previous, "the version before, to compare with");

  verb = session.AddVerb(metadata, "verify",
                         "Verify files as a client would: the chain of roots, the targets, the roles",
                         [&session, flags] { return Verify(session, flags->files, flags->at); });
  verb->add_option("files", flags->files,
                   "roots, top-level targets and roles, in any order; the first root is believed")
      ->required();
  verb->add_option("--at", flags->at,
                   "the moment at which nothing may have expired, e.g. 2027-01-31T00:00:00Z");
}

void AddCeremonyCommands(CLI::App& app, Session& session) {
  AddRoot(app, session);
  AddTargets(app, session);
}

}  // namespace countersign::ctl
