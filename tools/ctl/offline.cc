// key, metadata: ceremonies on files, without any service. The private keys of root, targets, manufacturers
// and the Management Authority are used here and nowhere else.
#include <CLI/CLI.hpp>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/crypto/open_signer.h"
#include "common/crypto/pkcs11/keys.h"
#include "common/crypto/signer.h"
#include "common/file/file.h"
#include "common/status/errors.h"
#include "common/tlog/note.h"
#include "common/trust/envelope.h"
#include "common/trust/keys.h"
#include "common/trust/metadata.h"
#include "countersign/liaison/v1/liaison.pb.h"
#include "google/protobuf/util/json_util.h"
#include "tools/ctl/call.h"
#include "tools/ctl/commands.h"
#include "tools/ctl/files.h"
#include "tools/ctl/image.h"

namespace countersign::ctl {
namespace {

namespace liaison = countersign::liaison::v1;

constexpr mode_t kPrivateMode = 0600;
constexpr int kMaxExpiryDays = 3650;

absl::Time ExpiresInDays(int days) {
  return absl::FromUnixSeconds(absl::ToUnixSeconds(absl::Now())) + absl::Hours(24) * days;
}

absl::Status CreateKey(const std::string& file, crypto::KeyType type) {
  RETURN_IF_ERROR(RefuseToOverwrite(file));
  ASSIGN_OR_RETURN(const crypto::PemSigner signer, crypto::PemSigner::Generate(type));
  RETURN_IF_ERROR(WriteFileAtomically(file, signer.ToPem(), kPrivateMode));
  RETURN_IF_ERROR(WriteFileAtomically(absl::StrCat(file, ".pub"), signer.public_key().Pem()));
  std::cout << trust::KeyId(signer.public_key()) << "\n";
  return absl::OkStatus();
}

absl::Status CreateKeyOnToken(const std::string& file, crypto::KeyType type, const std::string& token) {
  const std::string public_file = absl::StrCat(file, ".pub");
  RETURN_IF_ERROR(RefuseToOverwrite(public_file));
  ASSIGN_OR_RETURN(const crypto::PublicKey key, crypto::pkcs11::GenerateKey(token, type));
  RETURN_IF_ERROR(WriteFileAtomically(public_file, key.Pem()));
  std::cout << trust::KeyId(key) << "\n";
  return absl::OkStatus();
}

absl::Status ListTokenKeys(const std::string& token) {
  ASSIGN_OR_RETURN(const std::vector<crypto::pkcs11::TokenKey> keys, crypto::pkcs11::ListKeys(token));
  for (const crypto::pkcs11::TokenKey& key : keys) {
    std::cout << (key.public_key.has_value() ? trust::KeyId(*key.public_key) : "-") << " "
              << (key.public_key.has_value() ? std::string(key.public_key->TufScheme()) : "unusable") << " "
              << key.uri << (key.extractable ? " EXTRACTABLE" : "") << "\n";
  }
  return absl::OkStatus();
}

void AddKey(CLI::App& app, Session& session) {
  CLI::App& group = *app.add_subcommand("key", "Signing keys in files and on PKCS#11 tokens (offline)");
  group.require_subcommand(1);

  struct Flags {
    std::string file, type = "ecdsa-p256", token, origin;
  };
  auto flags = std::make_shared<Flags>();
  static const std::map<std::string, crypto::KeyType> kTypes = {{"ecdsa-p256", crypto::KeyType::kEcdsaP256},
                                                                {"ed25519", crypto::KeyType::kEd25519},
                                                                {"rsa-pss", crypto::KeyType::kRsaPss}};
  CLI::App* verb = session.AddVerb(
      group, "create", "Create a key: FILE (private) and FILE.pub, or FILE.pub of a key on a token", [flags] {
        const crypto::KeyType type = kTypes.at(flags->type);
        return flags->token.empty() ? CreateKey(flags->file, type)
                                    : CreateKeyOnToken(flags->file, type, flags->token);
      });
  verb->add_option("file", flags->file, "where the private key goes")->required();
  verb->add_option("--token", flags->token,
                   "make the key on a token, which it never leaves: "
                   "pkcs11:token=...;object=LABEL?module-path=...&pin-source=FILE");
  verb->add_option("--type", flags->type, "ecdsa-p256, ed25519 or rsa-pss")->check(CLI::IsMember(kTypes));

  verb = session.AddVerb(group, "list", "List the private keys on a token: key id, scheme, PKCS#11 URI",
                         [flags] { return ListTokenKeys(flags->token); });
  verb->add_option("--token", flags->token, "pkcs11:token=...?module-path=...&pin-source=FILE")->required();

  verb = session.AddVerb(group, "id", "Print the key id of a public key", [flags]() -> absl::Status {
    ASSIGN_OR_RETURN(const crypto::PublicKey key, LoadPublicKey(flags->file));
    std::cout << trust::KeyId(key) << "\n";
    return absl::OkStatus();
  });
  verb->add_option("file", flags->file, "the public key, PEM")->required();

  verb = session.AddVerb(group, "vkey", "Print the verifier key of a transparency log (C2SP signed-note)",
                         [flags]() -> absl::Status {
                           ASSIGN_OR_RETURN(const crypto::PublicKey key, LoadPublicKey(flags->file));
                           ASSIGN_OR_RETURN(const tlog::VerifierKey verifier,
                                            tlog::VerifierKey::Make(flags->origin, key));
                           std::cout << verifier.Format() << "\n";
                           return absl::OkStatus();
                         });
  verb->add_option("file", flags->file, "the log's public key, PEM, Ed25519")->required();
  verb->add_option("--origin", flags->origin, "the log's name: --log-origin of the package store")
      ->required();
}

struct RoleFlags {
  std::string out, previous;
  int64_t version = 0;
  bool pending = false;
  int expires_days = 0;  // 0: 90, or 30 of a pending role
  std::vector<std::string> releases;
};

absl::Status WriteRole(const RoleFlags& flags) {
  trust::Targets targets;
  if (!flags.previous.empty()) {
    ASSIGN_OR_RETURN(const std::string bytes, ReadFile(flags.previous));
    ASSIGN_OR_RETURN(const trust::Envelope envelope, trust::Envelope::Parse(bytes));
    ASSIGN_OR_RETURN(targets, trust::Targets::Parse(envelope));
    targets.version += 1;
  }
  if (flags.version > 0) targets.version = flags.version;
  const int days = flags.expires_days > 0 ? flags.expires_days : flags.pending ? 30 : 90;
  targets.expires = ExpiresInDays(days);
  for (const std::string& file : flags.releases) {
    liaison::Release release;
    RETURN_IF_ERROR(ReadJson(file, &release));
    const common::v1::ReleaseInfo& info = release.info();
    if (!trust::IsTargetPath(info.image().target_path()) || info.image().sha256().empty()) {
      return Error(
          absl::StatusCode::kInvalidArgument, "RELEASE_INCOMPLETE",
          absl::StrCat(file,
                       " has no image with a target path and a digest: fill it in with `metadata release`"));
    }
    const char* const folder = flags.pending ? trust::kPendingFolder : "";
    trust::TargetFile& target = targets.targets[absl::StrCat(folder, info.image().target_path())];
    target.length = info.image().length_bytes();
    target.sha256 = info.image().sha256();
    target.custom.version = info.version();
    target.custom.hardware_ids.assign(info.hardware_ids().begin(), info.hardware_ids().end());
    target.custom.release_counter = info.release_counter();
  }
  return WriteFileAtomically(flags.out, targets.ToEnvelope().Serialise());
}

absl::Status FillInRelease(const std::string& file, const std::string& image_file, const std::string& out) {
  liaison::Release release;
  RETURN_IF_ERROR(ReadJson(file, &release));
  ASSIGN_OR_RETURN(const ImageDigest digest, DigestOf(image_file));
  common::v1::Image& image = *release.mutable_info()->mutable_image();
  image.set_length_bytes(digest.length_bytes);
  image.set_sha256(digest.sha256);
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  options.preserve_proto_field_names = true;
  std::string json;
  if (!google::protobuf::util::MessageToJsonString(release, &json, options).ok()) {
    return Error(absl::StatusCode::kInvalidArgument, "JSON_MALFORMED",
                 absl::StrCat(file, " cannot be written as JSON"));
  }
  return WriteFileAtomically(out, json);
}

void AddMetadata(CLI::App& app, Session& session) {
  CLI::App& group =
      *app.add_subcommand("metadata", "TUF metadata in files (offline): write roles, sign, show, verify");
  group.require_subcommand(1);

  auto role = std::make_shared<RoleFlags>();
  CLI::App* verb =
      session.AddVerb(group, "role", "Write a manufacturer's role metadata from its releases, unsigned",
                      [role] { return WriteRole(*role); });
  verb->add_option("--out", role->out, "file to write")->required();
  verb->add_option("--previous", role->previous, "the version before, whose targets stay");
  verb->add_option("--version", role->version, "version; one more than the previous when left out");
  verb->add_flag("--pending", role->pending, "write the pending role, of what is not approved");
  verb->add_option("--expires-days", role->expires_days, "days that it holds: 90, or 30 of a pending role")
      ->check(CLI::Range(1, kMaxExpiryDays));
  verb->add_option("--release", role->releases, "a release with its image's digest, in JSON; may be repeated")
      ->required();

  struct ReleaseFlags {
    std::string file, image, out;
  };
  auto release = std::make_shared<ReleaseFlags>();
  verb = session.AddVerb(group, "release", "Fill a release's image length and digest in from the image",
                         [release] { return FillInRelease(release->file, release->image, release->out); });
  verb->add_option("file", release->file, "countersign.liaison.v1.Release in JSON")->required();
  verb->add_option("--image", release->image, "the image")->required();
  verb->add_option("--out", release->out, "file to write")->required();
  AddSigningVerbs(group, session);
}

}  // namespace

void AddOfflineCommands(CLI::App& app, Session& session) {
  AddKey(app, session);
  AddCeremonyCommands(app, session);
  AddMetadata(app, session);
}

}  // namespace countersign::ctl
