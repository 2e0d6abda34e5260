#ifndef COUNTERSIGN_COMMON_TRUST_PARTIES_H_
#define COUNTERSIGN_COMMON_TRUST_PARTIES_H_

#include <map>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/trust/envelope.h"
#include "common/trust/keys.h"
#include "common/trust/metadata.h"

// Whose keys may vouch for what in an image repository. TUF's clients count keys; these rules see to it that
// what they count is parties. They hold where metadata is made and where it is published. Pure functions.
namespace countersign::trust {

// Whether `id` can be a manufacturer of a repository: 1 to 56 characters of [a-z0-9-], beginning and ending
// with a letter or digit, no name of a top-level role or of another party, and not ending in "-pending".
bool IsManufacturerId(absl::string_view id);

// The role of what the authority has not approved: "<manufacturer>-pending".
std::string PendingRole(absl::string_view manufacturer);

// The ids of `role`'s keys that have a valid signature on `envelope`, by party; under "" those of no party.
std::map<std::string, std::set<std::string>> SignersByParty(const Envelope& envelope, const KeyMap& keys,
                                                            const RoleKeys& role, const Parties& parties);

// OK if each key of the roles root and targets is the operator's or the authority's, of one of them only, and
// none of those that sign online; and if both have a key in both roles. PARTIES_NOT_DECLARED,
// PARTIES_NOT_DISTINCT, MALFORMED_METADATA, DUPLICATE_KEY.
absl::Status CheckRootParties(const Root& root);

// OK if both parties of `root` are among those of its role root that have signed `envelope`: neither
// organisation changes the root alone, whatever the threshold. THRESHOLD_NOT_MET.
absl::Status VerifyBothParties(const Envelope& envelope, const Root& root);

// OK if `targets`, the top-level ones, delegate so that nothing is published without two parties: for each
// manufacturer a role of its name, terminating, with the paths `<m>/*` and `<m>/*/*` or one of them,
// threshold 2, one key of the manufacturer's and one of the authority's; and beside it, if it likes,
// `<m>-pending`, terminating, with paths below `pending/<m>/`, threshold 1 and keys of the manufacturer's. No
// key is of two parties, or another party's in `root` (nullptr: not compared). PARTIES_NOT_DECLARED,
// PARTIES_NOT_DISTINCT, PATH_NOT_DELEGATED, MALFORMED_METADATA, DUPLICATE_KEY.
absl::Status CheckDelegations(const Targets& targets, const Root* root);

// OK unless `next` has other keys of the authority's than `previous` (nullptr: none) and no key of the
// authority's in `root` has signed it, in `envelope`: who the authority is, the operator cannot say alone.
// THRESHOLD_NOT_MET.
absl::Status VerifyAuthorityChange(const Envelope& envelope, const Root& root, const Targets* previous,
                                   const Targets& next);

}  // namespace countersign::trust

#endif  // COUNTERSIGN_COMMON_TRUST_PARTIES_H_
