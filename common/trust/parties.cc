#include "common/trust/parties.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/status/macros.h"
#include "common/trust/reasons.h"

namespace countersign::trust {
namespace {

constexpr char kRoot[] = "root";
constexpr char kTargets[] = "targets";
constexpr char kPendingSuffix[] = "-pending";
constexpr size_t kMaxManufacturerId = 56;  // a role name, less the suffix

bool IsLetterOrDigit(char c) { return absl::ascii_islower(c) || absl::ascii_isdigit(c); }

// Every key that is said to be somebody's is there, and nobody else's.
absl::Status CheckOwners(const Parties& parties, const KeyMap& keys) {
  RETURN_IF_ERROR(CheckKeysDistinct(keys));
  std::map<std::string, std::string> owners;
  for (const auto& [party, ids] : parties) {
    for (const std::string& id : ids) {
      if (!keys.contains(id)) {
        return Refuse(kMalformed, absl::StrCat("key ", id, " of party ", party, " is not among the keys"));
      }
      const auto [owner, is_new] = owners.emplace(id, party);
      if (!is_new && owner->second != party) {
        return Refuse(kPartiesNotDistinct,
                      absl::StrCat("key ", id, " is said to be of both ", owner->second, " and ", party));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status NotDeclared(absl::string_view role, absl::string_view key_id) {
  return Refuse(kPartiesNotDeclared,
                absl::StrCat("custom.parties does not say whose key ", key_id, " of role ", role, " is"));
}

// Whether every pattern is `<prefix>/*` or `<prefix>/*/*`, and there is one at least.
absl::Status CheckPaths(const Delegation& role, const std::string& prefix) {
  const std::string one = absl::StrCat(prefix, "/*");
  const std::string two = absl::StrCat(prefix, "/*/*");
  if (role.terminating && !role.paths.empty() &&
      std::all_of(role.paths.begin(), role.paths.end(),
                  [&](const std::string& pattern) { return pattern == one || pattern == two; })) {
    return absl::OkStatus();
  }
  return Refuse(kPathNotDelegated,
                absl::StrCat("role ", role.name, " must be terminating and have the paths ", one, " and ",
                             two, " only"));
}

absl::Status CheckPendingRole(const Delegation& role, const std::string& manufacturer,
                              const Parties& parties) {
  RETURN_IF_ERROR(CheckPaths(role, absl::StrCat(kPendingFolder, manufacturer)));
  if (role.keys.threshold != 1) {
    return Refuse(kMalformed, absl::StrCat("role ", role.name, " must have threshold 1"));
  }
  for (const std::string& id : role.keys.key_ids) {
    const std::string party = PartyOf(parties, id);
    if (party.empty()) return NotDeclared(role.name, id);
    if (party != manufacturer) {
      return Refuse(kPartiesNotDistinct, absl::StrCat("key ", id, " of role ", role.name, " must be ",
                                                      manufacturer, "'s, and is ", party, "'s"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckManufacturerRole(const Delegation& role, const Parties& parties) {
  RETURN_IF_ERROR(CheckPaths(role, role.name));
  const std::vector<std::string>& ids = role.keys.key_ids;
  if (role.keys.threshold != 2 || ids.size() != 2 || ids[0] == ids[1]) {
    return Refuse(kPartiesNotDistinct,
                  absl::StrCat("role ", role.name, " must have threshold 2 and two keys: one of ", role.name,
                               "'s and one of the authority's"));
  }
  std::set<std::string> owners;
  for (const std::string& id : ids) {
    const std::string party = PartyOf(parties, id);
    if (party.empty()) return NotDeclared(role.name, id);
    owners.insert(party);
  }
  if (owners != std::set<std::string>{role.name, kAuthorityParty}) {
    return Refuse(kPartiesNotDistinct, absl::StrCat("role ", role.name, " must have one key of ", role.name,
                                                    "'s and one of the authority's"));
  }
  return absl::OkStatus();
}

// A key of the root that the targets say is somebody's must be the same party's there.
absl::Status CheckAgainstRoot(const Targets& targets, const Root& root) {
  std::map<std::string, std::string> parties_in_root;  // by the key itself
  for (const auto& [id, key] : root.keys) parties_in_root[key.Der()] = PartyOf(root.parties, id);
  for (const auto& [id, key] : targets.delegations->keys) {
    const auto in_root = parties_in_root.find(key.Der());
    if (in_root == parties_in_root.end()) continue;
    if (in_root->second.empty() || in_root->second != PartyOf(targets.parties, id)) {
      return Refuse(kPartiesNotDistinct,
                    absl::StrCat("key ", id, " is a key of the root, where it is ",
                                 in_root->second.empty() ? "one that signs online" : in_root->second + "'s"));
    }
  }
  return absl::OkStatus();
}

std::set<std::string> KeysOfAuthority(const Targets* targets) {
  if (targets == nullptr) return {};
  const auto found = targets->parties.find(kAuthorityParty);
  if (found == targets->parties.end()) return {};
  return {found->second.begin(), found->second.end()};
}

}  // namespace

bool IsManufacturerId(absl::string_view id) {
  if (id.empty() || id.size() > kMaxManufacturerId || !IsLetterOrDigit(id.front()) ||
      !IsLetterOrDigit(id.back())) {
    return false;
  }
  if (!std::all_of(id.begin(), id.end(), [](char c) { return IsLetterOrDigit(c) || c == '-'; })) return false;
  for (absl::string_view reserved :
       {"root", "timestamp", "snapshot", "targets", "pending", kOperatorParty, kAuthorityParty}) {
    if (id == reserved) return false;
  }
  return !absl::EndsWith(id, kPendingSuffix);
}

std::string PendingRole(absl::string_view manufacturer) { return absl::StrCat(manufacturer, kPendingSuffix); }

std::map<std::string, std::set<std::string>> SignersByParty(const Envelope& envelope, const KeyMap& keys,
                                                            const RoleKeys& role, const Parties& parties) {
  std::map<std::string, std::set<std::string>> signers;
  for (const std::string& id : role.key_ids) {
    const auto key = keys.find(id);
    if (key != keys.end() && envelope.VerifyBy(id, key->second).ok())
      signers[PartyOf(parties, id)].insert(id);
  }
  return signers;
}

absl::Status CheckRootParties(const Root& root) {
  for (const auto& [party, ids] : root.parties) {
    if (party != kOperatorParty && party != kAuthorityParty) {
      return Refuse(kMalformed,
                    absl::StrCat("the root's parties are operator and authority; ", party, " is neither"));
    }
  }
  RETURN_IF_ERROR(CheckOwners(root.parties, root.keys));
  std::set<std::string> online;
  for (const char* const role : {"snapshot", "timestamp"}) {
    for (const std::string& id : root.roles.at(role).key_ids) online.insert(id);
  }
  for (const char* const role : {kRoot, kTargets}) {
    std::set<std::string> owners;
    for (const std::string& id : root.roles.at(role).key_ids) {
      if (online.contains(id)) {
        return Refuse(kPartiesNotDistinct, absl::StrCat("key ", id, " signs online; it must not be in role ",
                                                        role, ", where a thief of it could use it"));
      }
      const std::string party = PartyOf(root.parties, id);
      if (party.empty()) return NotDeclared(role, id);
      owners.insert(party);
    }
    if (owners.size() != 2) {
      return Refuse(kPartiesNotDistinct, absl::StrCat("role ", role, " has keys of the ", *owners.begin(),
                                                      "'s only; both organisations need one"));
    }
  }
  return absl::OkStatus();
}

absl::Status VerifyBothParties(const Envelope& envelope, const Root& root) {
  const auto signers = SignersByParty(envelope, root.keys, root.roles.at(kRoot), root.parties);
  for (const char* const party : {kOperatorParty, kAuthorityParty}) {
    if (!signers.contains(party)) {
      return Refuse(kThresholdNotMet,
                    absl::StrCat("a root needs signatures of both organisations; none of the ", party,
                                 "'s keys in root version ", root.version, " has signed"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckDelegations(const Targets& targets, const Root* root) {
  static const auto& none = *new Delegations();
  const Delegations& delegations = targets.delegations ? *targets.delegations : none;
  for (const auto& [party, ids] : targets.parties) {
    if (party != kAuthorityParty && !IsManufacturerId(party)) {
      return Refuse(kMalformed,
                    absl::StrCat("party ", party, " is neither the authority nor a manufacturer"));
    }
  }
  RETURN_IF_ERROR(CheckOwners(targets.parties, delegations.keys));
  std::set<std::string> names;
  for (const Delegation& role : delegations.roles) {
    if (!names.insert(role.name).second) {
      return Refuse(kMalformed, absl::StrCat("role ", role.name, " is delegated twice"));
    }
    absl::string_view manufacturer = role.name;
    const bool is_pending = absl::ConsumeSuffix(&manufacturer, kPendingSuffix);
    if (!IsManufacturerId(manufacturer)) {
      return Refuse(kMalformed, absl::StrCat("role ", role.name,
                                             " names no manufacturer: [a-z0-9-], at most 56 characters"));
    }
    RETURN_IF_ERROR(is_pending ? CheckPendingRole(role, std::string(manufacturer), targets.parties)
                               : CheckManufacturerRole(role, targets.parties));
  }
  return root == nullptr || !targets.delegations ? absl::OkStatus() : CheckAgainstRoot(targets, *root);
}

absl::Status VerifyAuthorityChange(const Envelope& envelope, const Root& root, const Targets* previous,
                                   const Targets& next) {
  if (KeysOfAuthority(previous) == KeysOfAuthority(&next)) return absl::OkStatus();
  if (SignersByParty(envelope, root.keys, root.roles.at(kTargets), root.parties).contains(kAuthorityParty)) {
    return absl::OkStatus();
  }
  return Refuse(kThresholdNotMet,
                "these targets change the keys that approve in the authority's name; one of the authority's "
                "keys in role targets must sign them");
}

}  // namespace countersign::trust
