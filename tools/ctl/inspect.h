// What a metadata file says, who has signed it and who still has to, and whether a repository's files hold
// together. Pure.
#ifndef COUNTERSIGN_TOOLS_CTL_INSPECT_H_
#define COUNTERSIGN_TOOLS_CTL_INSPECT_H_

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/trust/envelope.h"
#include "common/trust/keys.h"
#include "common/trust/metadata.h"

namespace countersign::ctl {

// A metadata file of a kind that is signed offline.
struct Document {
  std::string file;
  trust::Envelope envelope;
  std::optional<trust::Root> root;        // one of the two
  std::optional<trust::Targets> targets;  // the top-level ones, or a manufacturer's role

  // "root", "targets", or the role that its target paths are of; "" for one without targets.
  std::string role() const;
  int64_t version() const { return root ? root->version : targets->version; }
  absl::Time expires() const { return root ? root->expires : targets->expires; }
};

// INVALID_ARGUMENT that names `file` if `bytes` are no root and no targets metadata.
absl::StatusOr<Document> ParseDocument(const std::string& file, absl::string_view bytes);

// Whose signatures a document needs, by one of those who say so: a root's by itself and by the version before
// it, the targets' by the root, a role's by the targets.
struct Signers {
  std::string by;  // "root version 1"
  trust::KeyMap keys;
  trust::RoleKeys role;
  trust::Parties parties;
  // Whose signatures must be among them: of a root both organisations', of targets that change the
  // authority's keys the authority's.
  std::vector<std::string> needed;
};

// The signers of `document`. `above` is the version before a root, the root of targets, or the targets of a
// role; nullptr if it is not at hand, and then there are those only that the document itself names.
// `previous` are the targets before these, if they are at hand. INVALID_ARGUMENT (WRONG_PARENT) if `above` is
// not of that kind or version.
absl::StatusOr<std::vector<Signers>> SignersOf(const Document& document, const Document* above,
                                               const Document* previous = nullptr);

// How a signature by `key` counts: OK if some of `signers` have it, else INVALID_ARGUMENT (WRONG_KEY) that
// tells who may sign.
absl::Status CheckMaySign(const Document& document, const std::vector<Signers>& signers,
                          const crypto::PublicKey& key);

// "2 of the 3 signatures that root version 1 wants (operator 2). Missing: 1, one of the authority's among
// them", a line for each of `signers`. `complete`, if given, is told whether nothing is missing.
std::string SigningStatus(const Document& document, const std::vector<Signers>& signers,
                          bool* complete = nullptr);

// All of it for people: what it is, until when, who has signed and who not, what it says, and what changed
// since `previous` (nullptr: not shown).
std::string Describe(const Document& document, const std::vector<Signers>& signers, const Document* previous,
                     absl::Time now);

// Verifies as a client and the store would, without either: the chain of roots from the lowest on, the
// targets and the roles under it, parties, paths and expiry at `now`. A line for each file; the first fault
// ends it.
absl::StatusOr<std::string> VerifyFiles(std::vector<Document> documents, absl::Time now);

}  // namespace countersign::ctl

#endif  // COUNTERSIGN_TOOLS_CTL_INSPECT_H_
