#include "tools/ctl/inspect.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/status/errors.h"
#include "common/status/macros.h"
#include "common/trust/parties.h"
#include "common/trust/verify.h"

namespace countersign::ctl {
namespace {

constexpr char kRoot[] = "root";
constexpr char kTargets[] = "targets";

absl::Status Invalid(absl::string_view reason, absl::string_view message) {
  return Error(absl::StatusCode::kInvalidArgument, reason, message);
}

using Ids = std::set<std::string>;

// The keys with which the authority approves, by top-level targets.
Ids AuthorityKeys(const Document& document) {
  const auto found = document.targets->parties.find(trust::kAuthorityParty);
  return found == document.targets->parties.end() ? Ids() : Ids(found->second.begin(), found->second.end());
}

std::string Short(const std::string& id) { return id.substr(0, 8); }

// "operator 12ab34cd", or the id alone.
std::string KeyName(const trust::Parties& parties, const std::string& id) {
  const std::string party = trust::PartyOf(parties, id);
  return party.empty() ? Short(id) : absl::StrCat(party, " ", Short(id));
}

std::string KeyNames(const trust::Parties& parties, const std::vector<std::string>& ids) {
  return absl::StrJoin(ids, ", ", [&](std::string* out, const std::string& id) {
    absl::StrAppend(out, KeyName(parties, id));
  });
}

bool HasKey(const Signers& signers, const crypto::PublicKey& key) {
  return std::any_of(signers.role.key_ids.begin(), signers.role.key_ids.end(),
                     [&](const std::string& id) { return signers.keys.at(id) == key; });
}

std::string Distance(absl::Time expires, absl::Time now) {
  const int64_t days = absl::ToInt64Hours(expires - now + absl::Minutes(1)) / 24;
  if (expires <= now) return "EXPIRED";
  if (days > 1) return absl::StrCat("in ", days, " days");
  return absl::StrCat("in ", absl::ToInt64Hours(expires - now), " hours");
}

std::string DescribeSignatures(const Document& document, const std::vector<Signers>& signers) {
  std::string text;
  std::set<std::string> known;
  for (const Signers& wanted : signers) {
    absl::StrAppend(&text, "signatures that ", wanted.by, " wants: ", wanted.role.threshold, " of ",
                    wanted.role.key_ids.size(), "\n");
    for (const std::string& id : wanted.role.key_ids) {
      known.insert(id);
      const char* state = "-";
      for (const trust::Signature& signature : document.envelope.signatures()) {
        if (signature.key_id != id) continue;
        state = document.envelope.VerifyBy(id, wanted.keys.at(id)).ok() ? "signed" : "WRONG SIGNATURE";
      }
      absl::StrAppend(&text, "  ", KeyName(wanted.parties, id), "  ", state, "\n");
    }
  }
  for (const trust::Signature& signature : document.envelope.signatures()) {
    if (known.contains(signature.key_id)) continue;
    absl::StrAppend(&text, "  ", Short(signature.key_id),
                    signers.empty() ? "  signed; give --under to see what that counts\n"
                                    : "  signed, and does not count: it is none of these keys\n");
  }
  return text;
}

std::string RoleLine(const trust::RoleKeys& role, const trust::Parties& parties) {
  return absl::StrCat(role.threshold, " of ", role.key_ids.size(), ": ", KeyNames(parties, role.key_ids));
}

// Everything that a document says, a line by the name of what it is about: what is shown, and compared.
std::map<std::string, std::string> Statements(const Document& document) {
  std::map<std::string, std::string> lines;
  if (document.root) {
    for (const auto& [name, role] : document.root->roles)
      lines[absl::StrCat("role ", name)] = RoleLine(role, document.root->parties);
    if (!document.root->log_key.empty()) lines["log key"] = document.root->log_key;
    return lines;
  }
  if (document.targets->delegations) {
    for (const trust::Delegation& role : document.targets->delegations->roles) {
      lines[absl::StrCat("delegation ", role.name)] = absl::StrCat(
          RoleLine(role.keys, document.targets->parties), "; paths ", absl::StrJoin(role.paths, " "));
    }
  }
  for (const auto& [path, target] : document.targets->targets) {
    lines[absl::StrCat("target ", path)] = absl::StrCat(
        target.length, " bytes, sha256 ", target.sha256, ", version ", target.custom.version, ", release ",
        target.custom.release_counter.value_or(0), ", for ", absl::StrJoin(target.custom.hardware_ids, " "));
  }
  return lines;
}

std::string Changes(const Document& document, const Document& previous) {
  const std::map<std::string, std::string> before = Statements(previous);
  const std::map<std::string, std::string> after = Statements(document);
  std::string text =
      absl::StrCat("changes against version ", previous.version(), "\n  ~ version: ", previous.version(),
                   " -> ", document.version(), "\n  ~ expires: ", trust::FormatUtc(previous.expires()),
                   " -> ", trust::FormatUtc(document.expires()), "\n");
  for (const auto& [name, line] : before) {
    const auto now = after.find(name);
    if (now == after.end()) absl::StrAppend(&text, "  - ", name, ": ", line, "\n");
    if (now != after.end() && now->second != line)
      absl::StrAppend(&text, "  ~ ", name, ": ", line, "\n    -> ", now->second, "\n");
  }
  for (const auto& [name, line] : after) {
    if (!before.contains(name)) absl::StrAppend(&text, "  + ", name, ": ", line, "\n");
  }
  return text;
}

// One step of VerifyFiles, with the file's name before what is wrong.
absl::Status InFile(const Document& document, const absl::Status& status) {
  return Annotate(status, document.file);
}

absl::Status VerifyRoot(const Document& document, const trust::Root* current) {
  const std::string bytes = document.envelope.Serialise();
  RETURN_IF_ERROR(
      (current == nullptr ? trust::VerifyFirstRoot(bytes) : trust::VerifyRootSuccession(*current, bytes))
          .status());
  const trust::Root& root = *document.root;
  if (root.parties.empty()) return absl::OkStatus();  // a Director's
  RETURN_IF_ERROR(trust::CheckRootParties(root));
  RETURN_IF_ERROR(trust::VerifyBothParties(document.envelope, root));
  if (current == nullptr || current->parties.empty()) return absl::OkStatus();
  return trust::VerifyBothParties(document.envelope, *current);
}

absl::Status VerifyTargets(const Document& document, const trust::Root& root, absl::Time now) {
  RETURN_IF_ERROR(trust::VerifyThreshold(document.envelope, root.keys, root.roles.at(kTargets)));
  RETURN_IF_ERROR(trust::CheckDelegations(*document.targets, &root));
  if (document.version() == 1)
    RETURN_IF_ERROR(trust::VerifyAuthorityChange(document.envelope, root, nullptr, *document.targets));
  return trust::CheckNotExpired(kTargets, document.expires(), now);
}

std::string Verified(const Document& document, absl::Time now) {
  return absl::StrCat(document.file, ": ", document.role(), " version ", document.version(), ", expires ",
                      trust::FormatUtc(document.expires()), " (", Distance(document.expires(), now), ")\n");
}

}  // namespace

std::string Document::role() const {
  if (root) return kRoot;
  if (targets->delegations) return kTargets;
  if (targets->targets.empty()) return "";
  const std::vector<std::string> parts = absl::StrSplit(targets->targets.begin()->first, '/');
  if (trust::IsPendingPath(targets->targets.begin()->first)) return trust::PendingRole(parts[1]);
  return parts[0];
}

absl::StatusOr<Document> ParseDocument(const std::string& file, absl::string_view bytes) {
  absl::StatusOr<trust::Envelope> envelope = trust::Envelope::Parse(bytes);
  if (!envelope.ok()) return Annotate(envelope.status(), file);
  Document document{file, *std::move(envelope), std::nullopt, std::nullopt};
  if (document.envelope.type() == kRoot) {
    absl::StatusOr<trust::Root> root = trust::Root::Parse(document.envelope);
    if (!root.ok()) return Annotate(root.status(), file);
    document.root = *std::move(root);
  } else if (document.envelope.type() == kTargets) {
    absl::StatusOr<trust::Targets> targets = trust::Targets::Parse(document.envelope);
    if (!targets.ok()) return Annotate(targets.status(), file);
    document.targets = *std::move(targets);
  } else {
    return Invalid("NOT_SIGNED_OFFLINE", absl::StrCat(file, " is ", document.envelope.type(),
                                                      " metadata, which a service signs by itself"));
  }
  return document;
}

absl::StatusOr<std::vector<Signers>> SignersOf(const Document& document, const Document* above,
                                               const Document* previous) {
  const std::string name = document.role();
  std::vector<Signers> signers;
  if (document.root) {
    if (above != nullptr && (!above->root || above->version() + 1 != document.version())) {
      return Invalid("WRONG_PARENT", absl::StrCat(document.file, " is root version ", document.version(),
                                                  "; ", above->file, " is not the root before it"));
    }
    for (const Document* one : {&document, above}) {
      if (one == nullptr) continue;
      signers.push_back({absl::StrCat("root version ", one->version()),
                         one->root->keys,
                         one->root->roles.at(kRoot),
                         one->root->parties,
                         {}});
      if (!one->root->parties.empty())
        signers.back().needed = {trust::kOperatorParty, trust::kAuthorityParty};
    }
    return signers;
  }
  if (above == nullptr) return signers;
  if (name == kTargets) {
    if (!above->root)
      return Invalid("WRONG_PARENT",
                     absl::StrCat("who signs top-level targets, a root says; ", above->file, " is none"));
    signers.push_back({absl::StrCat("root version ", above->version()),
                       above->root->keys,
                       above->root->roles.at(kTargets),
                       above->root->parties,
                       {}});
    const bool is_known = document.version() == 1 || previous != nullptr;
    if (is_known && AuthorityKeys(document) != (previous == nullptr ? Ids() : AuthorityKeys(*previous)))
      signers.back().needed = {trust::kAuthorityParty};
    return signers;
  }
  if (!above->targets || !above->targets->delegations) {
    return Invalid("WRONG_PARENT",
                   absl::StrCat("who signs a manufacturer's role, the top-level targets say; ", above->file,
                                " is none"));
  }
  const trust::Delegation* const role = above->targets->delegations->Find(name);
  if (role == nullptr) {
    return Invalid("WRONG_PARENT", absl::StrCat(above->file, " delegates to no role ",
                                                name.empty() ? "that this could be" : name));
  }
  signers.push_back({absl::StrCat("targets version ", above->version()),
                     above->targets->delegations->keys,
                     role->keys,
                     above->targets->parties,
                     {}});
  return signers;
}

absl::Status CheckMaySign(const Document& document, const std::vector<Signers>& signers,
                          const crypto::PublicKey& key) {
  if (signers.empty() || std::any_of(signers.begin(), signers.end(),
                                     [&](const Signers& wanted) { return HasKey(wanted, key); })) {
    return absl::OkStatus();
  }
  std::string who;
  for (const Signers& wanted : signers) {
    absl::StrAppend(&who, who.empty() ? "" : "; ", wanted.by, " wants ",
                    KeyNames(wanted.parties, wanted.role.key_ids));
  }
  return Invalid("WRONG_KEY",
                 absl::StrCat("key ", Short(trust::KeyId(key)), " has no say in ", document.file, ": ", who,
                              document.root && signers.size() == 1 && document.version() > 1
                                  ? ". If it is a key of the version before, give that with --under"
                                  : ""));
}

std::string SigningStatus(const Document& document, const std::vector<Signers>& signers, bool* complete) {
  std::string text;
  if (complete != nullptr) *complete = !signers.empty();
  for (const Signers& wanted : signers) {
    const auto signed_by = trust::SignersByParty(document.envelope, wanted.keys, wanted.role, wanted.parties);
    int count = 0;
    std::vector<std::string> parts, missing;
    for (const auto& [party, ids] : signed_by) {
      count += ids.size();
      if (!party.empty()) parts.push_back(absl::StrCat(party, " ", ids.size()));
    }
    if (count < wanted.role.threshold)
      missing.push_back(absl::StrCat(wanted.role.threshold - count, " more"));
    for (const std::string& party : wanted.needed) {
      if (!signed_by.contains(party)) missing.push_back(absl::StrCat("one of the ", party, "'s"));
    }
    absl::StrAppend(&text, count, " of the ", wanted.role.threshold, " signatures that ", wanted.by,
                    " wants");
    if (!parts.empty()) absl::StrAppend(&text, " (", absl::StrJoin(parts, ", "), ")");
    absl::StrAppend(&text, missing.empty() ? "" : absl::StrCat("; missing: ", absl::StrJoin(missing, ", ")),
                    "\n");
    if (complete != nullptr && !missing.empty()) *complete = false;
  }
  return text;
}

std::string Describe(const Document& document, const std::vector<Signers>& signers, const Document* previous,
                     absl::Time now) {
  std::string text = absl::StrCat(document.role().empty() ? "role" : document.role(), " version ",
                                  document.version(), ", expires ", trust::FormatUtc(document.expires()),
                                  " (", Distance(document.expires(), now), ")\n");
  absl::StrAppend(&text, DescribeSignatures(document, signers), SigningStatus(document, signers));
  for (const auto& [name, line] : Statements(document)) absl::StrAppend(&text, name, ": ", line, "\n");
  if (previous != nullptr) absl::StrAppend(&text, Changes(document, *previous));
  return text;
}

absl::StatusOr<std::string> VerifyFiles(std::vector<Document> documents, absl::Time now) {
  // Roots by version, then the targets, then the roles.
  const auto rank = [](const Document& document) {
    return document.root ? 0 : document.role() == kTargets ? 1 : 2;
  };
  std::stable_sort(documents.begin(), documents.end(), [&](const Document& a, const Document& b) {
    return std::pair(rank(a), rank(a) == 0 ? a.version() : 0) <
           std::pair(rank(b), rank(b) == 0 ? b.version() : 0);
  });
  const Document* root = nullptr;
  const Document* targets = nullptr;
  std::string text;
  for (const Document& document : documents) {
    if (document.root) {
      RETURN_IF_ERROR(InFile(document, VerifyRoot(document, root == nullptr ? nullptr : &*root->root)));
      root = &document;
    } else if (root == nullptr) {
      return Invalid("ROOT_MISSING",
                     absl::StrCat("nothing says who may sign ", document.file, ": give its root, too"));
    } else if (document.role() == kTargets) {
      if (targets != nullptr)
        return Invalid("TARGETS_TWICE", absl::StrCat("both ", targets->file, " and ", document.file,
                                                     " are top-level targets: give one"));
      RETURN_IF_ERROR(InFile(document, VerifyTargets(document, *root->root, now)));
      targets = &document;
    } else {
      if (targets == nullptr) {
        return Invalid("TARGETS_MISSING", absl::StrCat("nothing says who may sign ", document.file,
                                                       ": give the top-level targets, too"));
      }
      RETURN_IF_ERROR(
          InFile(document, trust::VerifyDelegatedTargets(*targets->targets->delegations, document.role(),
                                                         document.envelope.Serialise(), nullptr, now)
                               .status()));
    }
    absl::StrAppend(&text, Verified(document, now));
  }
  // Older roots may have expired; the one that counts may not.
  if (root != nullptr) RETURN_IF_ERROR(InFile(*root, trust::CheckNotExpired(kRoot, root->expires(), now)));
  return text;
}

}  // namespace countersign::ctl
