#include "tools/ctl/ceremony.h"

#include <algorithm>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/trust/envelope.h"
#include "common/trust/keys.h"
#include "common/trust/parties.h"

namespace countersign::ctl {
namespace {

constexpr absl::Duration kLongest = absl::Hours(24 * 3660);
constexpr size_t kShortestPrefix = 8;
constexpr char kOnlineRoles[][10] = {"snapshot", "timestamp"};

absl::Status Invalid(absl::string_view reason, absl::string_view message) {
  return Error(absl::StatusCode::kInvalidArgument, reason, message);
}

// The one of `ids` that is `text`, or begins with it.
absl::StatusOr<std::string> FindKey(const std::vector<std::string>& ids, const std::string& text,
                                    absl::string_view role) {
  std::vector<std::string> found;
  for (const std::string& id : ids) {
    if (id == text || (text.size() >= kShortestPrefix && absl::StartsWith(id, text))) found.push_back(id);
  }
  if (found.size() == 1) return found[0];
  return found.empty() ? Invalid("KEY_NOT_IN_ROLE", absl::StrCat("key ", text, " is none of role ", role,
                                                                 ", which has ", absl::StrJoin(ids, ", ")))
                       : Invalid("KEY_AMBIGUOUS",
                                 absl::StrCat("keys ", absl::StrJoin(found, ", "), " begin with ", text));
}

absl::Status ChangeRole(trust::Root& root, const std::string& name, const RoleChange& change) {
  trust::RoleKeys& role = root.roles[name];
  for (const std::string& text : change.remove) {
    ASSIGN_OR_RETURN(const std::string id, FindKey(role.key_ids, text, name));
    role.key_ids.erase(std::find(role.key_ids.begin(), role.key_ids.end(), id));
  }
  for (const PartyKey& added : change.add) {
    for (const std::string& id : role.key_ids) {
      if (root.keys.at(id) == added.key) {
        return Invalid("KEY_TWICE", absl::StrCat("key ", id, " is in role ", name,
                                                 " already: each of its holders has a key of their own"));
      }
    }
    root.AddKey(name, added.key);
    if (added.party.empty()) continue;
    const std::string id = trust::KeyId(added.key);
    std::vector<std::string>& ids = root.parties[added.party];
    if (std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(id);
  }
  if (change.threshold) role.threshold = *change.threshold;
  if (role.threshold < 1 || role.key_ids.size() < static_cast<size_t>(role.threshold)) {
    return Invalid("THRESHOLD_UNREACHABLE",
                   absl::StrCat("role ", name, " would need ", role.threshold, " signatures and have ",
                                role.key_ids.size(), " keys: nobody could ever sign for it again"));
  }
  return absl::OkStatus();
}

// What no role uses any more goes, and with it what is said of it.
void DropUnused(const std::set<std::string>& used, trust::KeyMap& keys, trust::Parties& parties) {
  for (auto key = keys.begin(); key != keys.end();) key = used.contains(key->first) ? ++key : keys.erase(key);
  for (auto party = parties.begin(); party != parties.end();) {
    std::vector<std::string>& ids = party->second;
    ids.erase(
        std::remove_if(ids.begin(), ids.end(), [&](const std::string& id) { return !used.contains(id); }),
        ids.end());
    party = ids.empty() ? parties.erase(party) : ++party;
  }
}

const trust::Delegation* FindRole(const trust::Targets& targets, const std::string& name) {
  return targets.delegations ? targets.delegations->Find(name) : nullptr;
}

absl::Status RequireManufacturer(const trust::Targets& targets, const std::string& id) {
  if (FindRole(targets, id) != nullptr) return absl::OkStatus();
  std::vector<std::string> known;
  for (const trust::Delegation& role : targets.delegations->roles) {
    if (!absl::EndsWith(role.name, "-pending")) known.push_back(role.name);
  }
  return Invalid("MANUFACTURER_UNKNOWN", absl::StrCat("there is no manufacturer ", id, "; there are: ",
                                                      known.empty() ? "none" : absl::StrJoin(known, ", ")));
}

// Puts `key` in the place of all keys of `party`, in every role.
absl::Status ReplaceKeys(trust::Targets& targets, const std::string& party, const crypto::PublicKey& key) {
  const std::string id = trust::KeyId(key);
  std::vector<std::string>& old = targets.parties[party];
  for (const std::string& old_id : old) {
    const auto old_key = targets.delegations->keys.find(old_id);
    if (old_key != targets.delegations->keys.end() && old_key->second == key) {
      return Invalid("KEY_UNCHANGED", absl::StrCat("key ", old_id, " is ", party, "'s already"));
    }
  }
  targets.delegations->keys.emplace(id, key);
  for (trust::Delegation& role : targets.delegations->roles) {
    std::vector<std::string> ids;
    for (const std::string& role_id : role.keys.key_ids) {
      const bool replaced = std::find(old.begin(), old.end(), role_id) != old.end();
      if (std::find(ids.begin(), ids.end(), replaced ? id : role_id) == ids.end())
        ids.push_back(replaced ? id : role_id);
    }
    role.keys.key_ids = std::move(ids);
  }
  old = {id};
  return absl::OkStatus();
}

void RemoveRole(trust::Targets& targets, const std::string& name) {
  std::vector<trust::Delegation>& roles = targets.delegations->roles;
  roles.erase(std::remove_if(roles.begin(), roles.end(),
                             [&](const trust::Delegation& role) { return role.name == name; }),
              roles.end());
}

absl::Status AddManufacturer(trust::Targets& targets, const TargetsChange::Manufacturer& manufacturer) {
  const auto& [id, key] = manufacturer;
  if (!trust::IsManufacturerId(id)) {
    return Invalid(
        "MANUFACTURER_INVALID",
        absl::StrCat(id, " cannot be a manufacturer's id: 1 to 56 of [a-z0-9-], and no role's name"));
  }
  if (FindRole(targets, id) != nullptr) {
    return Invalid("MANUFACTURER_EXISTS",
                   absl::StrCat(id, " has a role already; to give it another key, rotate it"));
  }
  const auto authority = targets.parties.find(trust::kAuthorityParty);
  if (authority == targets.parties.end() || authority->second.empty()) {
    return Invalid("AUTHORITY_MISSING", "nobody could approve: give the Management Authority's public key");
  }
  const crypto::PublicKey approves = targets.delegations->keys.at(authority->second.back());
  targets.delegations->roles.push_back(
      {.name = id, .keys = {.threshold = 2}, .paths = {absl::StrCat(id, "/*"), absl::StrCat(id, "/*/*")}});
  targets.delegations->AddKey(key);
  targets.delegations->AddKey(approves);
  targets.parties[id] = {trust::KeyId(key)};
  return absl::OkStatus();
}

absl::Status AddPending(trust::Targets& targets, const std::string& id) {
  RETURN_IF_ERROR(RequireManufacturer(targets, id));
  const std::string name = trust::PendingRole(id);
  if (FindRole(targets, name) != nullptr)
    return Invalid("PENDING_EXISTS", absl::StrCat("there is a role ", name, " already"));
  trust::Delegation role{.name = name, .keys = {.key_ids = targets.parties[id], .threshold = 1}};
  for (const char* const pattern : {"/*", "/*/*"})
    role.paths.push_back(absl::StrCat(trust::kPendingFolder, id, pattern));
  targets.delegations->roles.push_back(std::move(role));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<trust::Root> ChangeRoot(const trust::Root* previous, const RootChange& change) {
  trust::Root root;
  if (previous != nullptr) {
    root = *previous;
    ++root.version;
  }
  root.expires = change.expires;
  for (const char* const name : {"root", "timestamp", "snapshot", "targets"}) {
    const auto role = change.roles.find(name);
    RETURN_IF_ERROR(ChangeRole(root, name, role == change.roles.end() ? RoleChange() : role->second));
  }
  if (change.log_key) root.log_key = change.log_key->Format();
  std::set<std::string> used;
  for (const auto& [name, role] : root.roles) used.insert(role.key_ids.begin(), role.key_ids.end());
  DropUnused(used, root.keys, root.parties);
  RETURN_IF_ERROR(trust::CheckKeysDistinct(root.keys));
  if (root.parties.empty()) return root;
  RETURN_IF_ERROR(trust::CheckRootParties(root));
  for (const char* const online : kOnlineRoles) {
    if (root.roles.at(online).threshold == 1) continue;
    return Invalid("THRESHOLD_UNREACHABLE",
                   absl::StrCat("role ", online, " must have threshold 1: one service signs for it"));
  }
  return root;
}

absl::StatusOr<trust::Targets> ChangeTargets(const trust::Targets* previous, const TargetsChange& change,
                                             const trust::Root* root) {
  trust::Targets targets;
  if (previous != nullptr) {
    targets = *previous;
    ++targets.version;
  }
  targets.expires = change.expires;
  if (!targets.delegations) targets.delegations.emplace();
  if (change.authority) RETURN_IF_ERROR(ReplaceKeys(targets, trust::kAuthorityParty, *change.authority));
  for (const std::string& id : change.remove) {
    RETURN_IF_ERROR(RequireManufacturer(targets, id));
    RemoveRole(targets, id);
    RemoveRole(targets, trust::PendingRole(id));
    targets.parties.erase(id);
  }
  for (const auto& [id, key] : change.rotate) {
    RETURN_IF_ERROR(RequireManufacturer(targets, id));
    RETURN_IF_ERROR(ReplaceKeys(targets, id, key));
  }
  for (const TargetsChange::Manufacturer& manufacturer : change.add)
    RETURN_IF_ERROR(AddManufacturer(targets, manufacturer));
  for (const std::string& id : change.remove_pending) {
    if (FindRole(targets, trust::PendingRole(id)) == nullptr)
      return Invalid("PENDING_UNKNOWN", absl::StrCat("there is no role ", trust::PendingRole(id)));
    RemoveRole(targets, trust::PendingRole(id));
  }
  for (const std::string& id : change.add_pending) RETURN_IF_ERROR(AddPending(targets, id));

  std::set<std::string> used;
  for (const trust::Delegation& role : targets.delegations->roles)
    used.insert(role.keys.key_ids.begin(), role.keys.key_ids.end());
  // The authority's key stays while there is no manufacturer: who comes next needs it.
  for (const std::string& id : targets.parties[trust::kAuthorityParty]) used.insert(id);
  DropUnused(used, targets.delegations->keys, targets.parties);
  RETURN_IF_ERROR(trust::CheckDelegations(targets, root));
  return targets;
}

absl::StatusOr<absl::Time> ExpiryOf(int days, const std::string& until, absl::Time now) {
  absl::Time expires = absl::FromUnixSeconds(absl::ToUnixSeconds(now)) + absl::Hours(24) * days;
  if (!until.empty()) {
    absl::StatusOr<absl::Time> parsed = trust::ParseUtc(until);
    if (!parsed.ok())
      return Invalid("EXPIRY_INVALID", absl::StrCat(until, " is no time like 2027-01-31T00:00:00Z"));
    expires = *parsed;
  }
  if (expires <= now || expires - now > kLongest) {
    return Invalid("EXPIRY_INVALID",
                   absl::StrCat("it would expire at ", trust::FormatUtc(expires), ", and now it is ",
                                trust::FormatUtc(now), ": from now on, and for ten years at most"));
  }
  return expires;
}

std::pair<std::string, std::string> SplitParty(absl::string_view text) {
  const std::vector<std::string> parts = absl::StrSplit(text, absl::MaxSplits('=', 1));
  if (parts.size() == 2 && trust::IsRoleName(parts[0])) return {parts[0], parts[1]};
  return {"", std::string(text)};
}

}  // namespace countersign::ctl
