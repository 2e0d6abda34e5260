#ifndef COUNTERSIGN_COMMON_TRUST_METADATA_H_
#define COUNTERSIGN_COMMON_TRUST_METADATA_H_

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/trust/envelope.h"
#include "common/trust/keys.h"

// TUF 1.0.31 metadata as values. X::Parse(envelope) reads `signed`, and says nothing about signatures;
// x.ToEnvelope() writes it, unsigned. Parse refuses with INVALID_ARGUMENT (MALFORMED_METADATA,
// UNSUPPORTED_SPEC, KEY_ID_MISMATCH, DUPLICATE_KEY) and names the field.

namespace countersign::trust {

inline constexpr char kSpecVersion[] = "1.0.31";
// Versions fit in 31 bits.
inline constexpr int64_t kMaxVersion = 0x7fffffff;

// Whose signatures a role needs.
struct RoleKeys {
  std::vector<std::string> key_ids;
  int threshold = 1;

  friend bool operator==(const RoleKeys&, const RoleKeys&) = default;
};

// Whose keys are whose: key ids by party, "operator", "authority", or a manufacturer's id. TUF knows keys and
// not parties; other clients ignore this.
using Parties = std::map<std::string, std::vector<std::string>>;
inline constexpr char kOperatorParty[] = "operator";
inline constexpr char kAuthorityParty[] = "authority";

// The party that `parties` say key `key_id` is of; "" if they do not.
std::string PartyOf(const Parties& parties, absl::string_view key_id);

struct Root {
  static constexpr char kType[] = "root";

  int64_t version = 1;
  absl::Time expires;
  bool consistent_snapshot = true;
  KeyMap keys;
  std::map<std::string, RoleKeys> roles;  // root, timestamp, snapshot, targets: all four
  Parties parties;                        // custom.parties; written if not empty
  // custom.logKey: the verifier key of the transparency log (C2SP signed-note). Written if not empty.
  std::string log_key;

  static absl::StatusOr<Root> Parse(const Envelope& envelope);
  Envelope ToEnvelope() const;

  // Adds `key` (under its KeyId) to `role`'s keys.
  void AddKey(const std::string& role, const crypto::PublicKey& key);
};

// What a document says about another metadata file.
struct FileMeta {
  int64_t version = 1;
  std::optional<int64_t> length;
  std::optional<std::string> sha256;  // hex

  friend bool operator==(const FileMeta&, const FileMeta&) = default;

  // Version, length and digest of a file with these bytes.
  static FileMeta Of(int64_t version, absl::string_view bytes);
};

struct Timestamp {
  static constexpr char kType[] = "timestamp";

  int64_t version = 1;
  absl::Time expires;
  FileMeta snapshot;

  static absl::StatusOr<Timestamp> Parse(const Envelope& envelope);
  Envelope ToEnvelope() const;
};

struct Snapshot {
  static constexpr char kType[] = "snapshot";

  int64_t version = 1;
  absl::Time expires;
  std::map<std::string, FileMeta> roles;  // by role name ("targets", "acme"), without ".json"

  static absl::StatusOr<Snapshot> Parse(const Envelope& envelope);
  Envelope ToEnvelope() const;
};

// What the Director says about one component that is to get the image.
struct EcuTarget {
  std::string hardware_id;        // "hardwareId"
  std::string consent_record_id;  // "consentRecordId"; empty if there is none
  // "bundle": what components of one bundle share. They change together or not at all; empty for one that
  // changes alone.
  std::string bundle;

  friend bool operator==(const EcuTarget&, const EcuTarget&) = default;
};

// A target's `custom`. Fields that are empty are not written.
struct TargetCustom {
  std::string version;                               // "version", as the manufacturer writes it
  std::vector<std::string> hardware_ids;             // "hardwareIds": what the image fits; order is kept
  std::optional<int64_t> release_counter;            // "releaseCounter": never falls for a component
  std::map<std::string, EcuTarget> ecu_identifiers;  // "ecuIdentifiers", by ecu_serial: Director only
  // All other fields, a compact JSON object; if it is none, the document cannot be signed.
  std::string extra = "{}";

  friend bool operator==(const TargetCustom&, const TargetCustom&) = default;
};

struct TargetFile {
  int64_t length = 0;
  std::string sha256;  // hex
  TargetCustom custom;

  friend bool operator==(const TargetFile&, const TargetFile&) = default;
};

struct Delegation {
  std::string name;  // see IsRoleName
  RoleKeys keys;
  std::vector<std::string> paths;  // patterns, see MatchesPath
  bool terminating = true;
};

struct Delegations {
  KeyMap keys;
  std::vector<Delegation> roles;  // in order of priority

  // nullptr if there is none of that name.
  const Delegation* Find(absl::string_view name) const;
  // Adds `key` (under its KeyId) to the keys, and to those of the last role.
  void AddKey(const crypto::PublicKey& key);
};

struct Targets {
  static constexpr char kType[] = "targets";

  int64_t version = 1;
  absl::Time expires;
  std::map<std::string, TargetFile> targets;  // by target path
  std::optional<Delegations> delegations;
  // custom.prefetch: what a gateway may fetch ahead, and must not install. Director only; written if not
  // empty.
  std::map<std::string, TargetFile> prefetch;
  // custom.quarantine: the ecu_serials of components that are ordered to stop. Director only; written,
  // sorted, if not empty. A component that is missing here may go on.
  std::set<std::string> quarantine;
  Parties parties;  // custom.parties: whose the delegations' keys are; written if not empty

  static absl::StatusOr<Targets> Parse(const Envelope& envelope);
  Envelope ToEnvelope() const;
};

// "3.root.json", "timestamp.json": the name under which a version of a role is served with consistent
// snapshots.
std::string MetadataFilename(absl::string_view role, int64_t version);

// "acme/lamp/<sha256>.fw-2.bin" for target path "acme/lamp/fw-2.bin": where the image itself is served.
std::string TargetFilename(absl::string_view path, absl::string_view sha256);

// Whether `name` is a role name: 1 to 64 of [A-Za-z0-9._-], the first of them no dot, so that it is safe as a
// file name. Wider than what the store lets anyone publish, since others' repositories are read, too.
bool IsRoleName(absl::string_view name);

// Whether `path` is a target path: 1 to 512 characters of [A-Za-z0-9._+~@-] in segments separated by single
// '/', none of them
// "." or "..".
bool IsTargetPath(absl::string_view path);

// Where the images stand that the authority has not approved: below this folder.
inline constexpr char kPendingFolder[] = "pending/";
bool IsPendingPath(absl::string_view path);

// Whether `path` matches `pattern`, where '*' stands for any characters but '/' and '?' for one such:
// stricter than some clients, never wider. Linear in the pattern's length times the path's.
bool MatchesPath(absl::string_view pattern, absl::string_view path);

}  // namespace countersign::trust

#endif  // COUNTERSIGN_COMMON_TRUST_METADATA_H_
