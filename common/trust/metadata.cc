#include "common/trust/metadata.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/crypto/digest.h"
#include "common/crypto/hex.h"
#include "common/status/macros.h"
#include "common/trust/json_fields.h"
#include "common/trust/key_json.h"
#include "common/trust/reasons.h"
#include "nlohmann/json.hpp"

namespace countersign::trust {

using nlohmann::json;

namespace {

constexpr size_t kMaxHardwareIds = 256;
constexpr size_t kMaxKeysPerRole = 64;
constexpr size_t kMaxPathsPerRole = 256;
constexpr size_t kMaxPath = 512;
constexpr size_t kMaxLogKey = 512;
constexpr size_t kMaxQuarantined = 1024;
constexpr char kRoot[] = "root";
constexpr char kTimestamp[] = "timestamp";
constexpr char kSnapshot[] = "snapshot";
constexpr char kTargets[] = "targets";
constexpr char kSnapshotFile[] = "snapshot.json";

bool IsPathCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         absl::StrContains("._+~@-", c);
}

// Segments separated by single '/', none of them "." or ".."; `allow` says which characters a segment has.
template <typename Allow>
bool IsPath(absl::string_view path, Allow allow) {
  if (path.empty() || path.size() > kMaxPath) return false;
  for (const absl::string_view segment : absl::StrSplit(path, '/')) {
    if (segment.empty() || segment == "." || segment == "..") return false;
    if (!std::all_of(segment.begin(), segment.end(), allow)) return false;
  }
  return true;
}

bool IsPattern(absl::string_view pattern) {
  return IsPath(pattern, [](char c) { return IsPathCharacter(c) || c == '*' || c == '?'; });
}

// --- What all four have in common.

struct Header {
  int64_t version;
  absl::Time expires;
};

Header ReadHeader(const Envelope& envelope, const char* type, JsonFields& fields) {
  if (envelope.type() != type) fields.Fail(absl::StrCat("is of type ", envelope.type(), ", not ", type));
  const std::string spec_version = fields.String("spec_version");
  if (fields.ok() && !absl::StartsWith(spec_version, "1.")) {
    fields.Merge(Refuse(kUnsupportedSpec, absl::StrCat("the ", type, " follows version ", spec_version,
                                                       " of the specification; 1.x is understood")));
  }
  const int64_t version = fields.Integer("version", 1, kMaxVersion);
  return {version, fields.Time("expires")};
}

json WriteHeader(const char* type, int64_t version, absl::Time expires) {
  return {
      {"_type", type}, {"spec_version", kSpecVersion}, {"version", version}, {"expires", FormatUtc(expires)}};
}

// --- Keys and roles.

KeyMap ReadKeys(JsonFields& parent) {
  KeyMap keys;
  for (const auto& [id, object] : parent.Object("keys").items()) {
    JsonFields fields(object, absl::StrCat("key ", id.substr(0, 64)));
    const std::string keytype = fields.String("keytype");
    const std::string scheme = fields.String("scheme");
    const std::string value = JsonFields(fields.Object("keyval"), "\"keyval\"").String("public", 4096);
    parent.Merge(fields.status());
    if (!parent.ok()) return keys;
    const absl::StatusOr<crypto::PublicKey> key = crypto::PublicKey::FromTuf(keytype, scheme, value);
    parent.Merge(key.status());
    if (!parent.ok()) return keys;
    // Taken from the object as it stands: a further field would be part of what the id is the digest of.
    if (crypto::Sha256Hex(CanonicalJson(object)) != id) {
      parent.Merge(Refuse(kKeyIdMismatch, absl::StrCat("the key id ", id.substr(0, 64),
                                                       " is not the SHA-256 of its key object")));
    }
    keys.emplace(id, *key);
  }
  parent.Merge(CheckKeysDistinct(keys));
  return keys;
}

json WriteKeys(const KeyMap& keys) {
  json object = json::object();
  for (const auto& [id, key] : keys) object[id] = KeyToJson(key);
  return object;
}

RoleKeys ReadRoleKeys(JsonFields& fields, const KeyMap& keys) {
  RoleKeys role;
  role.key_ids = fields.Strings("keyids", kMaxKeysPerRole);
  role.threshold = static_cast<int>(fields.Integer("threshold", 1, kMaxKeysPerRole));
  for (const std::string& id : role.key_ids) {
    if (!keys.contains(id)) fields.Fail(absl::StrCat("has a key id that is not among the keys: ", id));
  }
  if (std::set<std::string>(role.key_ids.begin(), role.key_ids.end()).size() != role.key_ids.size()) {
    fields.Fail("has a key id twice");
  }
  if (fields.ok() && role.key_ids.size() < static_cast<size_t>(role.threshold)) {
    fields.Fail("has fewer keys than its threshold");
  }
  return role;
}

json WriteRoleKeys(const RoleKeys& role) { return {{"keyids", role.key_ids}, {"threshold", role.threshold}}; }

void AddKeyId(RoleKeys& role, std::string id) {
  if (std::find(role.key_ids.begin(), role.key_ids.end(), id) == role.key_ids.end()) {
    role.key_ids.push_back(std::move(id));
  }
}

// --- Parties.

Parties ReadParties(JsonFields& custom) {
  Parties parties;
  const json& object = custom.Object("parties");
  JsonFields fields(object, "\"parties\"");
  for (const auto& [party, ids] : object.items()) {
    if (!IsRoleName(party))
      fields.Fail("has a name that is not of the form [A-Za-z0-9_-][A-Za-z0-9._-]{0,63}");
    parties[party] = fields.Strings(party.c_str(), kMaxKeysPerRole);
    for (const std::string& id : parties[party]) {
      if (!crypto::IsSha256Hex(id)) fields.Fail(absl::StrCat("has a key id that is no SHA-256: ", id));
    }
    if (!fields.ok()) break;
  }
  custom.Merge(fields.status());
  return parties;
}

// --- File and target descriptions.

FileMeta ReadFileMeta(const json& object, absl::string_view where, absl::Status& status) {
  JsonFields fields(object, where);
  FileMeta meta;
  meta.version = fields.Integer("version", 1, kMaxVersion);
  if (fields.Has("length")) meta.length = fields.Integer("length", 1);
  if (fields.Has("hashes")) {
    JsonFields hashes(fields.Object("hashes"), absl::StrCat(where, " hashes"));
    meta.sha256 = hashes.Sha256("sha256");
    fields.Merge(hashes.status());
  }
  status.Update(fields.status());
  return meta;
}

json WriteFileMeta(const FileMeta& meta) {
  json object = {{"version", meta.version}};
  if (meta.length.has_value()) object["length"] = *meta.length;
  if (meta.sha256.has_value()) object["hashes"] = {{"sha256", *meta.sha256}};
  return object;
}

TargetCustom ReadCustom(const json& object, absl::string_view where, absl::Status& status) {
  JsonFields fields(object, where);
  TargetCustom custom;
  if (fields.Has("version")) custom.version = fields.String("version");
  if (fields.Has("hardwareIds")) custom.hardware_ids = fields.Strings("hardwareIds", kMaxHardwareIds);
  if (fields.Has("releaseCounter")) custom.release_counter = fields.Integer("releaseCounter");
  if (fields.Has("ecuIdentifiers")) {
    for (const auto& [serial, ecu] : fields.Object("ecuIdentifiers").items()) {
      JsonFields ecu_fields(ecu, absl::StrCat(where, ": ecuIdentifiers.", serial));
      EcuTarget& target = custom.ecu_identifiers[serial];
      target.hardware_id = ecu_fields.NonEmptyString("hardwareId");
      if (ecu_fields.Has("consentRecordId")) target.consent_record_id = ecu_fields.String("consentRecordId");
      if (ecu_fields.Has("bundle")) target.bundle = ecu_fields.NonEmptyString("bundle");
      fields.Merge(ecu_fields.status());
    }
  }
  status.Update(fields.status());
  if (!status.ok()) return custom;
  json extra = object;
  for (const char* const known : {"version", "hardwareIds", "releaseCounter", "ecuIdentifiers"})
    extra.erase(known);
  custom.extra = CompactJson(extra);
  return custom;
}

json WriteCustom(const TargetCustom& custom) {
  json object = json::parse(custom.extra, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) return nullptr;  // Envelope::Sign refuses it
  if (!custom.version.empty()) object["version"] = custom.version;
  if (!custom.hardware_ids.empty()) object["hardwareIds"] = custom.hardware_ids;
  if (custom.release_counter.has_value()) object["releaseCounter"] = *custom.release_counter;
  for (const auto& [serial, ecu] : custom.ecu_identifiers) {
    json& entry = object["ecuIdentifiers"][serial];
    entry["hardwareId"] = ecu.hardware_id;
    if (!ecu.consent_record_id.empty()) entry["consentRecordId"] = ecu.consent_record_id;
    if (!ecu.bundle.empty()) entry["bundle"] = ecu.bundle;
  }
  return object;
}

std::map<std::string, TargetFile> ReadTargetFiles(const json& object, JsonFields& parent) {
  std::map<std::string, TargetFile> files;
  for (const auto& [path, entry] : object.items()) {
    if (!IsTargetPath(path)) parent.Fail(absl::StrCat("has a target path that is not allowed: ", path));
    JsonFields fields(entry, absl::StrCat("target ", path));
    TargetFile file;
    file.length = fields.Integer("length");
    JsonFields hashes(fields.Object("hashes"), absl::StrCat("target ", path, " hashes"));
    file.sha256 = hashes.Sha256("sha256");
    fields.Merge(hashes.status());
    if (fields.Has("custom")) {
      absl::Status status;
      file.custom = ReadCustom(fields.Object("custom"), absl::StrCat("target ", path, " custom"), status);
      fields.Merge(status);
    }
    parent.Merge(fields.status());
    if (!parent.ok()) break;
    files.emplace(path, std::move(file));
  }
  return files;
}

json WriteTargetFiles(const std::map<std::string, TargetFile>& files) {
  json object = json::object();
  for (const auto& [path, file] : files) {
    json& entry = object[path];
    entry["length"] = file.length;
    entry["hashes"] = {{"sha256", file.sha256}};
    if (json custom = WriteCustom(file.custom); custom != json::object()) entry["custom"] = std::move(custom);
  }
  return object;
}

Delegations ReadDelegations(const json& object, JsonFields& parent) {
  JsonFields fields(object, "\"delegations\"");
  Delegations delegations;
  if (fields.Has("succinct_roles")) fields.Fail("has succinct_roles, which are not used here");
  delegations.keys = ReadKeys(fields);
  for (const json& element : fields.Array("roles")) {
    JsonFields role(element, "a delegation");
    Delegation delegation;
    delegation.name = role.String("name");
    if (role.ok() && !IsRoleName(delegation.name))
      role.Fail("has a name that is not of the form [A-Za-z0-9_-][A-Za-z0-9._-]{0,63}");
    for (const char* const reserved : {kRoot, kTimestamp, kSnapshot, kTargets}) {
      if (delegation.name == reserved) role.Fail("has the name of a top-level role");
    }
    if (delegations.Find(delegation.name) != nullptr) role.Fail("has a name that another has");
    if (role.Has("path_hash_prefixes")) role.Fail("has path_hash_prefixes, which are not used here");
    delegation.paths = role.Strings("paths", kMaxPathsPerRole);
    for (const std::string& pattern : delegation.paths) {
      if (!IsPattern(pattern)) role.Fail(absl::StrCat("has a path pattern that is not allowed: ", pattern));
    }
    delegation.terminating = role.Bool("terminating");
    delegation.keys = ReadRoleKeys(role, delegations.keys);
    fields.Merge(role.status());
    if (!fields.ok()) break;
    delegations.roles.push_back(std::move(delegation));
  }
  parent.Merge(fields.status());
  return delegations;
}

json WriteDelegations(const Delegations& delegations) {
  json roles = json::array();
  for (const Delegation& delegation : delegations.roles) {
    json role = WriteRoleKeys(delegation.keys);
    role["name"] = delegation.name;
    role["paths"] = delegation.paths;
    role["terminating"] = delegation.terminating;
    roles.push_back(std::move(role));
  }
  return {{"keys", WriteKeys(delegations.keys)}, {"roles", std::move(roles)}};
}

}  // namespace

std::string PartyOf(const Parties& parties, absl::string_view key_id) {
  for (const auto& [party, ids] : parties) {
    if (std::find(ids.begin(), ids.end(), key_id) != ids.end()) return party;
  }
  return "";
}

// --- Root

absl::StatusOr<Root> Root::Parse(const Envelope& envelope) {
  JsonFields fields(envelope.content(), "the root");
  const Header header = ReadHeader(envelope, kType, fields);
  Root root;
  root.version = header.version;
  root.expires = header.expires;
  root.consistent_snapshot = fields.Bool("consistent_snapshot");
  root.keys = ReadKeys(fields);
  JsonFields roles(fields.Object("roles"), "the root's roles");
  for (const char* const name : {kRoot, kTimestamp, kSnapshot, kTargets}) {
    JsonFields role(roles.Object(name), absl::StrCat("the root's role ", name));
    root.roles[name] = ReadRoleKeys(role, root.keys);
    roles.Merge(role.status());
  }
  fields.Merge(roles.status());
  if (fields.Has("custom")) {
    JsonFields custom(fields.Object("custom"), "the root's custom");
    if (custom.Has("parties")) root.parties = ReadParties(custom);
    if (custom.Has("logKey")) root.log_key = custom.NonEmptyString("logKey", kMaxLogKey);
    fields.Merge(custom.status());
  }
  RETURN_IF_ERROR(fields.status());
  return root;
}

Envelope Root::ToEnvelope() const {
  json content = WriteHeader(kType, version, expires);
  content["consistent_snapshot"] = consistent_snapshot;
  content["keys"] = WriteKeys(keys);
  for (const auto& [name, role] : roles) content["roles"][name] = WriteRoleKeys(role);
  if (!parties.empty()) content["custom"]["parties"] = parties;
  if (!log_key.empty()) content["custom"]["logKey"] = log_key;
  return Envelope::Unsigned(std::move(content));
}

void Root::AddKey(const std::string& role, const crypto::PublicKey& key) {
  const std::string id = KeyId(key);
  keys.emplace(id, key);
  AddKeyId(roles[role], id);
}

// --- Timestamp and snapshot

FileMeta FileMeta::Of(int64_t version, absl::string_view bytes) {
  return {version, static_cast<int64_t>(bytes.size()), crypto::Sha256Hex(bytes)};
}

absl::StatusOr<Timestamp> Timestamp::Parse(const Envelope& envelope) {
  JsonFields fields(envelope.content(), "the timestamp");
  const Header header = ReadHeader(envelope, kType, fields);
  JsonFields meta(fields.Object("meta"), "the timestamp's meta");
  absl::Status status;
  Timestamp timestamp;
  timestamp.version = header.version;
  timestamp.expires = header.expires;
  timestamp.snapshot = ReadFileMeta(meta.Object(kSnapshotFile), "the timestamp's snapshot.json", status);
  fields.Merge(meta.status());
  fields.Merge(status);
  RETURN_IF_ERROR(fields.status());
  return timestamp;
}

Envelope Timestamp::ToEnvelope() const {
  json content = WriteHeader(kType, version, expires);
  content["meta"] = {{kSnapshotFile, WriteFileMeta(snapshot)}};
  return Envelope::Unsigned(std::move(content));
}

absl::StatusOr<Snapshot> Snapshot::Parse(const Envelope& envelope) {
  JsonFields fields(envelope.content(), "the snapshot");
  const Header header = ReadHeader(envelope, kType, fields);
  Snapshot snapshot;
  snapshot.version = header.version;
  snapshot.expires = header.expires;
  for (const auto& [filename, meta] : fields.Object("meta").items()) {
    absl::string_view role = filename;
    if (!absl::ConsumeSuffix(&role, ".json") || !IsRoleName(role)) {
      fields.Fail("has a file name in meta that is not <role>.json");
      break;
    }
    absl::Status status;
    snapshot.roles[std::string(role)] = ReadFileMeta(meta, absl::StrCat("the snapshot's ", filename), status);
    fields.Merge(status);
  }
  if (fields.ok() && !snapshot.roles.contains(kTargets)) fields.Fail("lacks targets.json");
  RETURN_IF_ERROR(fields.status());
  return snapshot;
}

Envelope Snapshot::ToEnvelope() const {
  json content = WriteHeader(kType, version, expires);
  json& meta = content["meta"] = json::object();
  for (const auto& [role, file] : roles) meta[role + ".json"] = WriteFileMeta(file);
  return Envelope::Unsigned(std::move(content));
}

// --- Targets

const Delegation* Delegations::Find(absl::string_view name) const {
  for (const Delegation& delegation : roles) {
    if (delegation.name == name) return &delegation;
  }
  return nullptr;
}

void Delegations::AddKey(const crypto::PublicKey& key) {
  const std::string id = KeyId(key);
  keys.emplace(id, key);
  if (!roles.empty()) AddKeyId(roles.back().keys, id);
}

absl::StatusOr<Targets> Targets::Parse(const Envelope& envelope) {
  JsonFields fields(envelope.content(), "the targets");
  const Header header = ReadHeader(envelope, kType, fields);
  Targets targets;
  targets.version = header.version;
  targets.expires = header.expires;
  targets.targets = ReadTargetFiles(fields.Object("targets"), fields);
  if (fields.Has("delegations")) targets.delegations = ReadDelegations(fields.Object("delegations"), fields);
  if (fields.Has("custom")) {
    JsonFields custom(fields.Object("custom"), "the targets' custom");
    if (custom.Has("prefetch")) targets.prefetch = ReadTargetFiles(custom.Object("prefetch"), custom);
    if (custom.Has("quarantine")) {
      for (std::string& serial : custom.Strings("quarantine", kMaxQuarantined)) {
        targets.quarantine.insert(std::move(serial));
      }
    }
    if (custom.Has("parties")) targets.parties = ReadParties(custom);
    fields.Merge(custom.status());
  }
  RETURN_IF_ERROR(fields.status());
  return targets;
}

Envelope Targets::ToEnvelope() const {
  json content = WriteHeader(kType, version, expires);
  content["targets"] = WriteTargetFiles(targets);
  if (delegations.has_value()) content["delegations"] = WriteDelegations(*delegations);
  if (!prefetch.empty()) content["custom"]["prefetch"] = WriteTargetFiles(prefetch);
  if (!quarantine.empty()) content["custom"]["quarantine"] = quarantine;
  if (!parties.empty()) content["custom"]["parties"] = parties;
  return Envelope::Unsigned(std::move(content));
}

// --- Names

std::string MetadataFilename(absl::string_view role, int64_t version) {
  if (role == kTimestamp) return "timestamp.json";
  return absl::StrCat(version, ".", role, ".json");
}

std::string TargetFilename(absl::string_view path, absl::string_view sha256) {
  const size_t slash = path.rfind('/');
  if (slash == absl::string_view::npos) return absl::StrCat(sha256, ".", path);
  return absl::StrCat(path.substr(0, slash + 1), sha256, ".", path.substr(slash + 1));
}

bool IsRoleName(absl::string_view name) {
  return !name.empty() && name.size() <= 64 && name.front() != '.' &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '-'; });
}

bool IsTargetPath(absl::string_view path) { return IsPath(path, IsPathCharacter); }

bool IsPendingPath(absl::string_view path) { return absl::StartsWith(path, kPendingFolder); }

bool MatchesPath(absl::string_view pattern, absl::string_view path) {
  // Greedy, with one point to go back to: the last '*'. An earlier one in the same segment need not grow when
  // a later one can, and one in an earlier segment cannot help, since the slashes of pattern and path pair
  // off.
  size_t p = 0, t = 0;
  size_t star = absl::string_view::npos, resume = 0;
  while (t < path.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.size() && (pattern[p] == path[t] || (pattern[p] == '?' && path[t] != '/'))) {
      ++p;
      ++t;
    } else if (star != absl::string_view::npos && path[resume] != '/') {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

}  // namespace countersign::trust
